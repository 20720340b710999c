"""Names, amounts, addresses, files and free texts, split so that evaluation meets only new ones.

A tenth of every kind is held out: training draws from the rest, evaluation from that tenth. Words
of free texts are common property, the texts themselves are not.
"""

import hashlib

from . import words


def held_out(value, kind="entity"):
    """Whether this value belongs to evaluation: a tenth of all, by hash."""
    return hashlib.sha256(f"{kind}:{value}".encode()).digest()[0] < 26


class Entities:
    """Draws entities of one side of the split."""

    def __init__(self, rng, evaluation=False):
        self.rng = rng
        self.evaluation = evaluation

    def choice(self, options):
        return options[int(self.rng.random() * len(options))]

    def chance(self, probability):
        return self.rng.random() < probability

    def _split(self, draw):
        while True:
            value = draw()
            if held_out(value) == self.evaluation:
                return value

    def syllables(self, low=2, high=3):
        rng = self.rng
        text = "".join(
            self.choice(words.ONSETS) + self.choice(words.VOWELS)
            for _ in range(rng.randint(low, high))
        )
        return text + (self.choice(words.CODAS) if self.chance(0.5) else "")

    def word(self):
        """An everyday word, or one that nobody has heard of."""
        if self.chance(0.75):
            return self.choice(words.NOUNS if self.chance(0.7) else words.EVERY)
        return self.syllables(1, 3)

    def given_name(self):
        if self.chance(0.5):
            return self.choice(words.NAMES)
        name = self.syllables().capitalize()
        if self.chance(0.06):
            name = name.replace("e", self.choice("éèëê"), 1)
        elif self.chance(0.06):
            name = name.replace("o", self.choice("öøóõ"), 1)
        return name

    def payee(self):
        """Someone who is paid: a person, a company, a role, a handle, seldom an address."""

        def draw():
            kind = self.rng.random()
            if kind < 0.40:
                return self.given_name()
            if kind < 0.50:
                return f"{self.given_name()} {self.syllables(1, 2).capitalize()}"
            if kind < 0.58:
                first = self.choice((self.given_name(), self.word().capitalize()))
                return f"{first} {self.choice(words.COMPANIES)}"
            if kind < 0.66:
                return self.choice(words.ROLES)
            if kind < 0.90:
                mark = self.choice(("-", "_", "-", ""))
                first = self.choice((self.word(), self.word(), self.given_name().lower()))
                if not mark:
                    return first + (str(self.rng.randint(1, 99)) if self.chance(0.3) else "")
                last = self.choice((self.word(), self.word(), str(self.rng.randint(1, 999))))
                return first + mark + last
            if kind < 0.95:
                return self.word()
            return "0x" + "".join(self.choice("0123456789abcdef") for _ in range(40))

        return self._split(draw)

    def person(self):
        return self._split(self.given_name)

    def digits(self):
        rng = self.rng
        kind = rng.random()
        if kind < 0.45:
            return str(rng.randint(1, 99))
        if kind < 0.60:
            return str(rng.randint(100, 9999))
        if kind < 0.80:
            return f"{rng.randint(0, 99)}.{self.choice('123456789')}"
        if kind < 0.92:
            return f"{rng.randint(0, 199)}.{rng.randint(1, 99):02d}"
        return f"0.{rng.randint(1, 999):03d}"

    def amount(self):
        """An amount as people write it, with its unit or without."""

        def draw():
            unit = self.choice(words.UNITS)
            digits = self.digits()
            if unit == "$":
                return f"${digits}"
            return f"{digits} {unit}" if unit else digits

        return self._split(draw)

    def usdc(self):
        return self._split(lambda: f"{self.digits()} USDC")

    def integer(self, low=1, high=999):
        return int(self._split(lambda: self.rng.randint(low, high)))

    def hexadecimal(self, length):
        return "".join(self.choice("0123456789abcdef") for _ in range(length))

    def url(self):
        rng = self.rng

        def draw():
            kind = rng.random()
            if kind < 0.8:
                host = self.word() if self.chance(0.7) else self.syllables()
                if self.chance(0.2):
                    host += self.choice(("-", "")) + self.word()
                if self.chance(0.25):
                    host = self.choice(("www", "api", "data", "m", self.word())) + "." + host
                host += "." + self.choice(words.ENDINGS)
            elif kind < 0.9:
                host = ".".join(str(rng.randint(0, 255)) for _ in range(4))
            else:
                host = "localhost"
            if kind >= 0.9 or self.chance(0.08):
                host += f":{rng.randint(80, 65000)}"
            parts = []
            for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3))):
                part = self.choice((self.word(), self.word(), str(rng.randint(1, 999)), self.syllables(1, 2)))
                if self.chance(0.1):
                    part += self.choice(("-", "_")) + self.word()
                if self.chance(0.06):
                    part = self.choice(("~", "v", "@")) + part
                if self.chance(0.04):
                    part = part.upper()
                parts.append(part)
            path = "/" + "/".join(parts) if parts else self.choice(("", "/"))
            if parts and self.chance(0.25):
                path += "." + self.choice(("csv", "json", "html", "txt", "xml"))
            if self.chance(0.1):
                path += f"?{self.word()}={self.choice((self.word(), str(rng.randint(1, 99))))}"
            return f"{'https' if self.chance(0.85) else 'http'}://{host}{path}"

        return self._split(draw)

    def path(self):
        def draw():
            name = self.choice((self.word(), self.word(), self.syllables(1, 2)))
            if self.chance(0.3):
                name += self.choice(("-", "_", "")) + self.choice(
                    (self.word(), str(self.rng.randint(1, 99)))
                )
            if self.chance(0.35):
                name = f"{self.word()}/{name}"
            return name + "." + self.choice(words.EXTENSIONS)

        return self._split(draw)

    def noun_phrase(self):
        kind = self.rng.random()
        noun = self.word()
        if kind < 0.35:
            return noun
        if kind < 0.6:
            return f"{self.choice(words.ADJECTIVES)} {noun}"
        if kind < 0.8:
            return f"{noun} {self.word()}"
        if kind < 0.9:
            return f"{noun} {self.rng.randint(1, 99)}"
        return f"{noun} of {self.choice((self.given_name(), self.word()))}"

    def clause(self):
        """A statement: subject, verb, the rest."""
        subject = self.choice(
            (f"the {self.noun_phrase()}", f"the {self.noun_phrase()}", self.given_name(),
             f"my {self.noun_phrase()}", f"our {self.noun_phrase()}", "we", "they")
        )
        rest = self.choice(
            (f"the {self.noun_phrase()}", f"a {self.noun_phrase()}", self.choice(words.ADJECTIVES),
             f"{self.rng.randint(1, 999)}", f"on {self.choice(words.DAYS)}",
             f"in {self.choice(words.MONTHS)}", f"at {self.rng.randint(1, 12)}",
             f"near the {self.word()}", self.given_name())
        )
        verb = self.choice(words.STATES if self.chance(0.6) else words.ACTS)
        return f"{subject} {verb} {rest}"

    def sentence(self):
        text = self.clause()
        return text[0].upper() + text[1:] + self.choice((".", ".", ".", "!", ""))

    def free_text(self, longest=9):
        """Any text: words of every kind, some marks and numbers."""

        def draw():
            kind = self.rng.random()
            if kind < 0.3:
                return self.clause()
            if kind < 0.45:
                return self.noun_phrase()
            if kind < 0.6:
                return self.sentence()
            parts = []
            for _ in range(self.rng.randint(1, longest)):
                part = self.choice(words.EVERY) if self.chance(0.7) else self.word()
                if self.chance(0.08):
                    part = str(self.rng.randint(0, 9999))
                elif self.chance(0.06):
                    part = self.given_name()
                elif self.chance(0.04):
                    part = self.choice(words.MARKED)
                if self.chance(0.08):
                    part += self.choice(",.:;!?)")
                parts.append(part)
            return " ".join(parts)

        return self._split(draw)

    def task(self):
        """A piece of work for somebody: `summarise the tax report`."""

        def draw():
            verb = self.choice(words.WORK)
            thing = self.choice(
                (f"the {self.noun_phrase()}", f"the {self.noun_phrase()}", self.noun_phrase(),
                 self.path(), f"a {self.noun_phrase()}", f"{self.rng.randint(2, 500)} {self.word()}s",
                 f"the {self.word()} in {self.path()}")
            )
            tail = self.choice(
                ("", "", "", "", f" into {self.choice(words.LANGUAGES)}", f" for {self.given_name()}",
                 f" by {self.choice(words.DAYS)}", f" and {self.choice(words.WORK)} it")
            )
            return f"{verb} {thing}{tail}"

        return self._split(draw)

    def skill(self):
        def draw():
            return self.choice(
                (f"{self.choice(words.WORK_NOUNS)}", f"{self.noun_phrase()}",
                 f"{self.word()} {self.choice(words.WORK_NOUNS)}",
                 f"{self.choice(words.LANGUAGES)} {self.choice(words.WORK_NOUNS)}",
                 f"{self.word()} {self.choice(('data', 'tables', 'prices', 'reports', 'law', 'maps'))}")
            )

        return self._split(draw)

    def value(self):
        """What a page or a sensor says, in a few words."""

        def draw():
            kind = self.rng.random()
            if kind < 0.3:
                return self.digits()
            if kind < 0.45:
                return f"{self.given_name()} {self.digits()}"
            if kind < 0.55:
                return f"{self.digits()} {self.choice(('m/s', 'km', 'USDC', 'kg', '%', 'C', 'points'))}"
            if kind < 0.62:
                return self.choice(("open", "closed", "yes", "no", "none", "ok", "sold out", "unknown"))
            return self.free_text(6)

        return self._split(draw)
