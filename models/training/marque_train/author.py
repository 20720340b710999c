"""Turns phrases into goals: picks one of this side of the split, fills it, and wraps it as people do."""

import json

from . import grammar, idle, phrases, words
from .entities import Entities, held_out


class Author:
    """Writes goals with new entities where `evaluation`, with new phrasings where `new_phrasing`."""

    def __init__(self, rng, evaluation=False, new_phrasing=False):
        self.rng = rng
        self.entities = Entities(rng, evaluation)
        self.new_phrasing = new_phrasing

    def chance(self, probability):
        return self.rng.random() < probability

    def choice(self, options):
        return options[int(self.rng.random() * len(options))]

    def skeleton(self, patterns):
        """A phrase of this side of the split, its slots unfilled."""
        for _ in range(200):
            text = grammar.expand(self.rng, self.choice(patterns))
            if held_out(text, "phrasing") == self.new_phrasing:
                return text
        return text

    def say(self, patterns, **slots):
        """A whole goal."""
        return self.wrap(grammar.fill(self.skeleton(patterns), slots))

    def wrap(self, body):
        """A sentence as it is, an imperative in a frame; both with the carelessness of people."""
        if body.startswith("="):
            text = body[1:]
            if self.chance(0.3):
                text = capital(text)
            aside = self.choice(phrases.ASIDES) if self.chance(0.3) else ""
            text = aside + text
        else:
            opener = self.choice(phrases.OPENERS)
            text = opener + body + self.choice(phrases.CLOSERS)
            if self.chance(0.6):
                text = capital(text)
            if self.chance(0.15):
                text = self.choice(phrases.ASIDES) + text
        if self.chance(0.02):
            text = text.rstrip(".!?")
        return " ".join(text.split(" "))

    def quoted(self, text):
        """A text, mostly in quotation marks."""
        return self.choice((f'"{text}"', f'"{text}"', f"'{text}'", f"“{text}”", text, text))

    # --- what people say about things, shared by several intents

    def fact(self):
        """A fact and its topic: `the gate code is 4411`, `gate code`."""
        e = self.entities
        kind = self.rng.random()
        if kind < 0.5:
            topic = e._split(e.noun_phrase)
            owner = self.choice(("the", "the", "my", "our", "the", ""))
            subject = f"{owner} {topic}".strip()
            rest = self.choice((
                e.value(), e.value(), f"on {self.choice(words.DAYS)}", f"in the {e.word()}",
                f"under the {e.word()}", f"called {e.given_name()}", f"at {e.rng.randint(1, 23)}",
                f"{self.choice(words.ADJECTIVES)} and {self.choice(words.ADJECTIVES)}",
                f"in {self.choice(words.CITIES)}", f"allergic to {e.word()}s", e.digits(), e.amount(),
                f"behind the {e.word()}", f"owned by {e.given_name()}"))
            verb = self.choice(("is", "is", "is", "was", "costs", "means", "needs", "starts", "opens", "ends", "will be", "must be", "lives", "has moved to", "arrives", "shuts"))
            return f"{subject} {verb} {rest}", topic
        if kind < 0.75:
            topic = e.person() if self.chance(0.6) else e.payee()
            verb = self.choice(("likes", "hates", "is", "was", "wants", "prefers", "lives in", "works at", "needs", "owns", "drinks", "is allergic to", "speaks", "sells", "knows", "called about", "sits in", "pays for", "is our", "is in charge of"))
            return f"{topic} {verb} {self.choice((e.noun_phrase(), e.word(), self.choice(words.ADJECTIVES), 'the ' + e.word(), self.choice(words.CITIES)))}", topic
        subject = self.choice(("we", "they", "she", "he", "I", "everybody"))
        topic = e._split(e.noun_phrase)
        verb = self.choice((*words.ACTS, "like", "need", "meet at", "never use", "always use", "sell", "need"))
        return f"{subject} {verb} the {topic}", topic

    def topic(self):
        e = self.entities
        return e._split(lambda: e.noun_phrase() if self.chance(0.8) else e.given_name())

    def question(self):
        """An indirect question, a direct one, and a matter."""
        e = self.entities
        we = self.choice(("we", "I", "we", "you", "they"))
        may = self.choice(("may", "should", "can", "could", "must", "ought to", "are allowed to", "need to", "want to", "would"))
        doing = self.choice((f"pay for the {e.noun_phrase()}", f"hire {e.given_name()}", f"sell the {e.noun_phrase()}", f"buy a {e.noun_phrase()}", e.task(), e.task(), f"spend more than {e.amount()}", f"keep the {e.noun_phrase()}", f"go to {self.choice(words.CITIES)}", f"wait for {e.given_name()}", f"cancel the {e.noun_phrase()}", f"trust {e.given_name()}", f"renew the {e.noun_phrase()}"))
        thing = e.noun_phrase()
        indirect = self.choice((
            f"whether {we} {may} {doing}", f"if {we} {may} {doing}", f"whether to {doing}", f"which {thing} to {self.choice(('use', 'take', 'buy', 'keep', 'choose'))}",
            f"what to do with the {thing}", f"how many {e.word()}s {we} need", f"how much the {thing} may cost", f"when the {thing} is due", f"where to put the {thing}", f"who {self.choice(('owns', 'wants', 'needs', 'made'))} the {thing}", f"what {e.given_name()} wants", f"about the {thing}", f"about {e.given_name()}", f"for permission to {doing}", f"which of the {e.word()}s {we} should take", f"if the {thing} is {self.choice(words.ADJECTIVES)}", f"why the {thing} is {self.choice(words.ADJECTIVES)}"))
        direct = self.choice((
            f"{may} {we} {doing}?".replace("are allowed to we", "are we allowed to").replace("ought to we", "should we").replace("need to we", "do we need to").replace("want to we", "do we want to"),
            f"is the {thing} {self.choice(words.ADJECTIVES)}?", f"which {thing} do you prefer?", f"what about the {thing}?", f"do you want the {thing}?", f"where is the {thing}?", f"is {e.given_name()} right?", f"how many {e.word()}s?", f"{self.choice(words.ADJECTIVES)} or {self.choice(words.ADJECTIVES)}?", f"when do {we} need the {thing}?"))
        matter = self.choice((f"the {thing}", f"the {thing}", f"a {thing}", f"{e.given_name()}'s {e.word()}", f"the {thing} and the {e.word()}", f"the price of {e.digits()} for the {e.word()}"))
        return indirect, direct, matter

    def total(self):
        """An expression as people say it and as `calculate` takes it; whether it is an imperative."""
        e = self.entities
        a, b, c = (e._split(e.digits) if self.chance(0.85) else str(e.rng.randint(1000, 99999)) for _ in range(3))
        op = self.choice("+-*/")
        if self.chance(0.35):
            tight = self.chance(0.3)
            gap = "" if tight else " "
            text = self.choice((f"{a}{gap}{op}{gap}{b}", f"{a}{gap}{op}{gap}{b}", f"{a}{gap}{op}{gap}{b}{gap}{self.choice('+-*/')}{gap}{c}", f"({a}{gap}{op}{gap}{b}){gap}*{gap}{c}", f"{a}{gap}*{gap}({b}{gap}+{gap}{c})", f"{a}{gap}^{gap}{self.rng.randint(2, 9)}", f"{a}% of {b}", f"{a}{gap}/{gap}({b}{gap}-{gap}{c})"))
            return text, text, False
        said, meant, imperative = self.choice((
            (f"{a} plus {b}", f"{a} + {b}", 0), (f"{a} and {b}", f"{a} + {b}", 2), (f"the sum of {a} and {b}", f"{a} + {b}", 0), (f"add {a} and {b}", f"{a} + {b}", 1), (f"add {a} to {b}", f"{a} + {b}", 1), (f"sum up {a} and {b}", f"{a} + {b}", 1),
            (f"the sum of {a}, {b} and {c}", f"{a} + {b} + {c}", 0), (f"add {a}, {b} and {c}", f"{a} + {b} + {c}", 1), (f"{a} plus {b} plus {c}", f"{a} + {b} + {c}", 0),
            (f"{a} minus {b}", f"{a} - {b}", 0), (f"{a} less {b}", f"{a} - {b}", 0), (f"subtract {a} from {b}", f"{b} - {a}", 1), (f"take {a} from {b}", f"{b} - {a}", 1), (f"take {a} away from {b}", f"{b} - {a}", 1), (f"deduct {a} from {b}", f"{b} - {a}", 1), (f"the difference between {a} and {b}", f"{a} - {b}", 0), (f"take {a} off {b}", f"{b} - {a}", 1),
            (f"{a} times {b}", f"{a} * {b}", 0), (f"{a} times {b}", f"{a} * {b}", 0), (f"{a} multiplied by {b}", f"{a} * {b}", 0), (f"multiply {a} by {b}", f"{a} * {b}", 1), (f"multiply {a} and {b}", f"{a} * {b}", 1), (f"multiply {a} with {b}", f"{a} * {b}", 1), (f"the product of {a} and {b}", f"{a} * {b}", 0), (f"{a} x {b}", f"{a} * {b}", 0),
            (f"{a} divided by {b}", f"{a} / {b}", 0), (f"{a} over {b}", f"{a} / {b}", 0), (f"divide {a} by {b}", f"{a} / {b}", 1), (f"the quotient of {a} and {b}", f"{a} / {b}", 0), (f"split {a} by {b}", f"{a} / {b}", 1), (f"share {a} among {b}", f"{a} / {b}", 1), (f"{a} : {b}", f"{a} / {b}", 0),
            (f"{a} percent of {b}", f"{a} percent of {b}", 0), (f"half of {a}", f"{a} / 2", 0), (f"twice {a}", f"2 * {a}", 0), (f"double {a}", f"2 * {a}", 1), (f"halve {a}", f"{a} / 2", 1), (f"{a} squared", f"{a} ^ 2", 0), (f"the square of {a}", f"{a} ^ 2", 0), (f"{a} to the power of {self.rng.randint(2, 9)}", None, 0), (f"a third of {a}", f"{a} / 3", 0),
            (f"the average of {a}, {b} and {c}", f"avg({a}, {b}, {c})", 0), (f"the average of {a} and {b}", f"avg({a}, {b})", 0), (f"the larger of {a} and {b}", f"max({a}, {b})", 0), (f"the smaller of {a} and {b}", f"min({a}, {b})", 0),
            ("units", None, 3), ("units", None, 3)))
        if said == "units":
            unit, other = self.choice((("km", "m"), ("m", "cm"), ("h", "min"), ("min", "s"), ("kg", "g"), ("km/h", "m/s"), ("m/s", "km/h"), ("days", "hours"), ("hours", "minutes"), ("km", "miles"), ("miles", "km"), ("MB", "kB"), ("C", "F"), ("weeks", "days"), ("l", "ml"), ("minutes", "seconds"), ("minutes", "hours"), ("GB", "MB"), ("t", "kg"), ("ft", "m")))
            said = self.choice((f"convert {a} {unit} to {other}", f"convert {a} {unit} into {other}", f"change {a} {unit} to {other}", f"turn {a} {unit} into {other}", f"={self.choice(('how many', 'How many'))} {other} {self.choice(('are', 'is', 'are in', 'are there in', 'make'))} {a} {unit}?", f"express {a} {unit} in {other}", f"=What is {a} {unit} in {other}?", f"={a} {unit} in {other}"))
            return said, f"{a} {unit} in {other}", True
        if meant is None:
            meant = said.replace(" to the power of ", " ^ ")
        if imperative == 2:
            return f"={self.choice(('What do', 'what do', 'How much do'))} {said} {self.choice(('make', 'add up to', 'sum to', 'come to', 'give'))}?", meant, True
        return said, meant, bool(imperative)

    def idle(self):
        """A goal that asks for nothing payable, and the answer to it."""
        kind, patterns, answers = self.choice(IDLE)
        e = self.entities
        slots = Lazy(self)
        text = self.wrap(grammar.fill(self.skeleton(patterns), slots))
        if kind == "nothing" and self.chance(0.1):
            text = text + " " + self.wrap(grammar.fill(self.skeleton(patterns), slots))
        del e
        return text, answers

    def salad(self):
        """Words in no order at all."""
        e = self.entities
        return e._split(lambda: " ".join(
            self.choice((self.choice(words.EVERY), e.word(), e.syllables(1, 3), e.given_name(), str(e.rng.randint(0, 999)), e.digits(), self.choice(words.MARKED)) if self.chance(0.3) else words.EVERY)
            for _ in range(self.rng.randint(1, 9))))


def capital(text):
    """The text as a sentence begins; an address, a path or a handle stays what it is."""
    first = text.split(" ", 1)[0].rstrip(".,:;!?")
    return text[:1].upper() + text[1:] if first.replace("'", "").isalpha() else text


IDLE = [
    ("greeting", idle.GREETING, "hello, what shall I do?"), ("thanks", idle.THANKS, "you are welcome"), ("about", idle.ABOUT, "I am a small model that works with its tools"),
    ("nothing", idle.NOTHING, "no tool for this"), ("nothing", idle.NOTHING, "no tool for this"), ("nothing", idle.NOTHING, "no tool for this"),
    ("request", idle.NO_TOOL, "no tool for this"), ("request", idle.NO_TOOL, "no tool for this"), ("request", idle.NO_TOOL, "no tool for this"),
    ("money", idle.MONEY_TALK, "no tool for this"), ("money", idle.MONEY_TALK, "no tool for this"), ("money", idle.MONEY_TALK, "no tool for this"), ("money", idle.MONEY_TALK, "no tool for this"), ("money", idle.MONEY_TALK, "no tool for this"),
    ("request", idle.SHORT_REQUESTS, "no tool for this"),
]


class Lazy:
    """Slots that are drawn when they are asked for, each time anew."""

    def __init__(self, author):
        a, e = author, author.entities
        self.draw = {
            "name": lambda: e.person() if a.chance(0.7) else e.payee(), "amount": lambda: e.amount() if a.chance(0.7) else e.digits(), "number": lambda: str(e.rng.randint(1, 999)),
            "thing": lambda: e.word() if a.chance(0.7) else f"{a.choice(words.ADJECTIVES)} {e.word()}", "clause": e.clause, "free": lambda: e.free_text(7), "salad": a.salad, "word": lambda: a.choice(words.EVERY) if a.chance(0.7) else e.syllables(1, 3),
            "adjective": lambda: a.choice(words.ADJECTIVES), "city": lambda: a.choice(words.CITIES), "day": lambda: a.choice(words.DAYS), "month": lambda: a.choice(words.MONTHS), "role": lambda: a.choice(words.ROLES), "language": lambda: a.choice(words.LANGUAGES),
            "acts": lambda: a.choice(words.ACTS), "task": e.task, "quoted": lambda: a.quoted(e.free_text(4)),
        }

    def __getitem__(self, name):
        return self.draw[name]()


def compact(value):
    """JSON as the runtime writes it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
