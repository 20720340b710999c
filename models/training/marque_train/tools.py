"""Tools as a prompt names them: `name(argument,argument?) description`.

The built-in ones have several descriptions each, so that no wording is needed; others come from a
catalogue and from word lists, so that the model learns to read a line that it has never seen.
"""

from dataclasses import dataclass

from . import everyday, grammar, words, workaday


@dataclass(frozen=True)
class Tool:
    """A line of the system text. `numbers` are the arguments that are whole numbers."""

    name: str
    arguments: tuple = ()
    optional: tuple = ()
    numbers: tuple = ()
    description: str = ""

    def line(self):
        names = [*self.arguments, *(f"{name}?" for name in self.optional)]
        return f"{self.name}({','.join(names)}) {self.description}".rstrip()


BUILT_IN = {
    "fetch": (("url",), ("pick",), (), [
        "get data from a url", "[read|fetch|get|open|load] [a web page or feed|a page or a feed|what is at a url|a url|a page from the web|the contents of a url|a web page]", "[get|read] data from a url[, and pay where it costs|, paid or free|]", "[fetch|get|read] a url as text[, or one field of its JSON|; pick takes one field|]",
    ]),
    "fetch_data": (("url",), (), (), ["get data from a url", "[read|fetch|get] [a web page or feed|data from a url|what is at a url]"]),
    "read_file": (("path",), (), (), ["[read|open|show|load] a file[ in the granted folder| of the folder|]", "[text|contents] of a file", "get the text of a file"]),
    "write_file": (("path", "text"), (), (), ["[write|save|put] [text|a text] [to|into] a file[ in the granted folder|]", "[create|write] a file", "store text in a file"]),
    "remember": (("topic", "text"), (), (), ["[remember|keep|store|note] [something|a fact|text] [for later|about a topic|under a topic|]", "put a fact into memory", "save to long-term memory"]),
    "recall": (("query",), (), (), ["[search|look into|look up in|search in] [memory|long-term memory|what was remembered|what is known]", "find what was remembered[ before|]", "[recall|get back] what was noted"]),
    "ask_owner": (("question",), (), (), ["ask the owner[ a question| and wait for the answer|]", "put a question to the owner[ of this agent|]", "let the owner [decide|answer]"]),
    "pay": (("payee", "amount"), ("reason",), (), ["[pay|send money to] [someone|a payee|a payee of the policy|somebody|a payee by name]", "[transfer|send] [money|an amount|tokens] to a payee", "make a payment[ to a payee|]"]),
    "send_payment": (("to", "amount"), (), ("amount",), ["pay someone", "[transfer|send] money[ to someone|]", "make a payment"]),
    "hire": (("job",), ("max_price",), (), ["[hire|pay] [a worker|another agent|compute|someone|a machine] [for a job|to do a job|]", "run a job on hired compute", "[buy|have] [work|a job] [done |][by a worker|from a worker|by another agent]"]),
    "hire_compute": (("job", "max_price"), (), ("max_price",), ["run a job on hired compute", "rent a machine for a job", "hire compute for a job"]),
    "find_agents": (("skill",), (), (), ["[find|search|look for|list] [agents|other agents|workers|agents in the registry] [with a skill|by skill|that can do something|for a skill]", "search the registry of agents"]),
    "calculate": (("expression",), (), (), ["[exact arithmetic|arithmetic|work out a sum|compute an expression|calculate an expression|evaluate an expression]", "exact arithmetic with units: + - * / ^ ( ) percent, min max sum avg round floor ceil abs, \"in\" converts", "[do sums|calculator|exact numbers][, with units|]"]),
    "now": ((), ("zone",), (), ["[date and time now|what time it is|the current time|time and date|the time now][, in UTC|]", "current date and time"]),
    "balance": ((), (), (), ["[show |][wallet balance|the balance|what may still be spent|money in the wallet]", "how much may still be spent", "show wallet balance"]),
    "get_balance": ((), (), (), ["show wallet balance", "[money in my wallet|show the balance|what is left to spend]"]),
    "lookup_contact": (("name",), (), (), ["find a contact address", "[address of a contact|look up a contact]"]),
    "get_weather": (("city",), (), (), ["weather for a city", "[forecast|weather] [of|in] a city"]),
    "post_message": (("to", "text"), (), (), ["send a text message", "[send|write] a message to someone"]),
    "save_note": (("text",), (), (), ["store a note", "[save|keep] a note"]),
    "finish": (("answer",), (), (), ["done, report the answer", "done, report the answer", "[end with an answer|finish and answer|give the answer|report the answer]"]),
}
# The names before the switch, and what they are called after it.
OLD = {"fetch": "fetch_data", "hire": "hire_compute", "balance": "get_balance", "pay": "send_payment", "remember": "save_note"}
# What costs money: never proposed where nobody asked for it.
PAYING = ("pay", "send_payment", "hire", "hire_compute")


def built_in(rng, name):
    arguments, optional, numbers, descriptions = BUILT_IN[name]
    if name == "now" and rng.random() < 0.5:
        optional = ()
    if name == "fetch" and rng.random() < 0.3:
        optional = ()
    # Before the switch no tool had optional arguments, and some programs have their own.
    if name == "pay" and rng.random() < 0.25:
        optional = ()
    description = grammar.expand(rng, rng.choice(descriptions))
    return Tool(name, arguments, optional, numbers, description)


# Other people's tools: names, arguments (# for whole numbers, `name=kind` where the kind is not the
# name), what the line says, how they are asked for. Arguments are filled by kind (`argument_value`).
CATALOGUE = [
    *everyday.TOOLS, *workaday.TOOLS,
    ("get_weather", "city", "[weather|forecast] [for|in|of] a city", "[what is|how is|tell me|show me|check|get] the [weather|forecast] [in|for|of] <city>|=[Will|Does] it [rain|snow|be sunny|get cold|be warm] in <city>[ tomorrow| today| this week|]?|=Do I need [a coat|an umbrella|sunglasses] in <city>?"),
    ("post_message", "to,text", "[send|write] [a message|a text message] to someone", "[tell|message|text|write to|inform|notify] <to>[:|,] <text>|[send|write] <to> [a message|this message|the message][:| saying] <text>|[tell|inform|let] <to> that <text>"),
    ("lookup_contact", "name", "[find|look up|get] [a contact|the address of a contact|a contact address]", "[find|look up|get|show] [the contact|the address of|the contact of|contact details of] <name>|=[What is|Where is] the address of <name>?"),
    ("make_coffee", "kind", "[make|brew] a [drink|coffee] of a kind", "[make|brew|prepare] me a <kind>"),
    ("open_window", "room", "[open|open up] the window of a room", "open the window [in|of] the <room>"),
    ("close_window", "room", "[close|shut] the window of a room", "[close|shut] the window [in|of] the <room>"),
    ("start_car", "plate", "start a car[ by its plate|]", "start the car <plate>|[start|turn on] <plate>"),
    ("search_web", "query", "search the web", "[search|google|look up|search the web for|search for] <query>|=What does the web say about <query>?"),
    ("search_mail", "query", "search [the mail|emails|the inbox]", "[find|search|look for] [emails|mail|messages|an email] [about|with|on] <query>|search [the inbox|my mail] for <query>"),
    ("send_mail", "to,subject,body", "send an email", "[send|write] [an email|a mail] to <to> with the subject <subject> and the text <body>|mail <to>, subject <subject>: <body>"),
    ("create_event", "title,date", "[create|add] an event in the calendar", "[add|put|create|enter] [the event|an event called|an event] <title> [on|for] <date>[ in the calendar|]|put <title> in the calendar for <date>"),
    ("list_events", "date", "events of a [day|date]", "=[What|Which events] [is|are] [on|planned] [on|for] <date>?|[show|list] [the events|my events|what is on] [of|on|for] <date>"),
    ("delete_event", "title", "[delete|remove] an event from the calendar", "[delete|remove|drop|cancel] the event <title>"),
    ("play_music", "song", "[play|start] [music|a song]", "[play|start|put on] [the song |]<song>|=I want to hear <song>."),
    ("stop_music", "", "[stop|end] the music", "[stop|end|turn off] the music|=[Silence|Be quiet][!|.|]"),
    ("next_song", "", "[skip to the next song|next song]", "[skip|next song|skip this song|play the next song]"),
    ("set_volume", "level#", "set the volume to a level", "[set|turn|change] the volume to <level>|[make it|volume] <level>"),
    ("light_on", "room", "[switch|turn] the light on in a room", "[switch|turn] [on the light|the light on] in the <room>|=[It is dark|I can't see anything] in the <room>."),
    ("light_off", "room", "[switch|turn] the light off in a room", "[switch|turn] [off the light|the light off] in the <room>"),
    ("heat", "room,degrees#", "set the heating of a room[ in degrees|]", "[set|heat|warm|bring] the <room> to <degrees>[ degrees|]"),
    ("feed_pet", "pet", "feed a pet", "feed [the|my] <pet>|=[The|My] <pet> is hungry."),
    ("find_book", "title", "[find|look up] a book[ in the library|]", "[find|look for|look up] the book <title>|=Do you have the book <title>?"),
    ("loan_book", "title,reader", "[lend|loan] a book to a reader", "[lend|loan] the book <title> to <reader>"),
    ("rate_film", "film,stars#", "[rate|give stars to] a film", "[rate|give] [the film |]<film> <stars>[ stars|]|rate the film <film> with <stars>[ stars|]"),
    ("translate", "text,target", "translate [a text|text][ into a language|]", "translate <quoted_text> [into|to] <language_target>|=What is <quoted_text> in <language_target>?"),
    ("convert_units", "value,unit", "convert a value to a unit", "convert <measure> [to|into] <unit>|=[What is|How much is] <measure> in <unit>?"),
    ("count_lines", "file", "[count the lines of|number of lines in] a file", "count the lines [of|in] <file>|=How many lines [has|are in|are there in] <file>?"),
    ("list_folder", "folder", "list [a folder|what is in a folder]", "[list|show] [the folder |what is in the folder ]<folder>|=What is in the folder <folder>?"),
    ("move_file", "source,target", "move a file", "move [the file |]<source> to <target>"),
    ("remove_file", "file", "[remove|erase] a file", "[remove|erase|get rid of] [the file |]<file>"),
    ("print_file", "file,copies#", "print a file[ on paper|]", "print <copies> copies of <file>|print <file> <copies> times"),
    ("run_query", "sql", "run [a query|SQL][ on the database|]", "[run|execute] [the query |]<sql>"),
    ("open_issue", "title", "[open|create|file] an issue[ in the tracker|]", "[open|create|file|report] an issue[:| called| titled] <title>"),
    ("close_issue", "id#", "close an issue[ by number|]", "close [issue|the issue] <id>|=Issue <id> is [done|fixed][, close it|]."),
    ("assign_issue", "id#,person", "assign an issue to a person", "assign [issue|the issue] <id> to <person>|give issue <id> to <person>"),
    ("restart", "service", "restart a service", "restart [the service |]<service>|=<service> hangs, restart it."),
    ("service_logs", "service", "[logs|log lines] of a service", "[show|get|read] the logs of [the service |]<service>|=What do the logs of <service> say?"),
    ("release", "app,version", "release a version of an app", "release [version |]<version> of <app>"),
    ("check_site", "host", "[check whether|is] a site [is |][up|online|down]", "check [whether|if] <host> is [up|online|down]|=Is <host> [up|online|down]?"),
    ("domain_owner", "domain", "owner of a domain", "=Who owns <domain>?|[find|tell me|look up] the owner of <domain>"),
    ("random_number", "low#,high#", "random number between two numbers", "[give me|pick|draw] a random number between <low> and <high>|[pick|draw] a number from <low> to <high>"),
    ("toss", "", "toss a coin", "toss a coin|=[Heads or tails|Coin toss][?|]"),
    ("joke", "", "tell a joke", "[tell me|give me] [a joke|something funny]|=[Make me laugh|Joke please][!|.|]"),
    ("quote_of_day", "", "quote of the day", "[show|give me|read] the quote of the day"),
    ("add_item", "item", "[add|put] an item on the shopping list", "[add|put] <item> [on|to] the shopping list|=We need <item> from the shop."),
    ("show_list", "", "show the shopping list", "[show|read] the shopping list|=What do we need from the shop?"),
    ("timer", "seconds#", "start a timer[ in seconds|]", "[start|set] a timer [of|for] <seconds> seconds"),
    ("parcel_status", "code", "status of a parcel", "=Where is [my parcel|the parcel|parcel] <code>?|[track|check] the parcel <code>"),
    ("order_food", "dish,street", "order food to a street", "order <dish> to <street>"),
    ("call_cab", "street", "call a cab to a street", "call a cab to <street>"),
    ("departures", "stop", "departures from a stop", "[show|list] the departures [from|at] <stop>|=When does the next bus leave from <stop>?"),
    ("route", "start,end", "[route|way] from start to end", "[show me|find|plan] the [way|route] from <start> to <end>|=How do I get from <start> to <end>?"),
    ("distance", "from,to", "distance between two cities", "=How far is [it from |]<from> [from|to] <to>?|[tell me|find] the distance from <from> to <to>"),
    ("inhabitants", "city", "number of inhabitants of a city", "=How many [people live in|inhabitants has] <city>?"),
    ("currency_rate", "pair", "exchange rate of a currency pair", "=What is the exchange rate of <pair>?|[get|show] the rate of <pair>"),
    ("share_price", "ticker", "price of a share", "=[What is|How much is] the share [price of |]<ticker>?|[get|show|check] the price of the share <ticker>"),
    ("sensor_value", "sensor", "[value|reading] of a sensor", "[read|check|get] [the |]sensor <sensor>|=What does [the |]sensor <sensor> say?"),
    ("move_robot", "direction,steps#", "move the robot", "[move|drive|send] the robot <steps> steps <direction>|go <steps> steps <direction>"),
    ("snapshot", "camera", "[take a snapshot|picture] with a camera", "[take a snapshot|make a picture] with [the |]camera <camera>"),
    ("water_garden", "minutes#", "water the garden[ for minutes|]", "water the garden for <minutes> minutes"),
    ("arm_alarm", "zone", "arm the alarm of a zone", "arm the alarm [in|of|for] [zone |]<zone>"),
    ("show_user", "user", "[show|details of] a user", "show [me |][the |]user <user>|=Who is the user <user>?"),
    ("ban_user", "user,reason", "ban a user", "ban [the user |]<user> for <reason>"),
    ("add_member", "group,user", "add a user to a group", "add <user> to the group <group>"),
    ("set_status", "status", "set [your|the] status", "set [my|the] status to <status>"),
    ("vote", "option", "vote for an option", "vote for <option>"),
    ("solve", "puzzle", "solve a puzzle", "solve [the puzzle |]<puzzle>"),
    ("symptoms", "illness", "symptoms of an illness", "=What are the symptoms of <illness>?|list the symptoms of <illness>"),
    ("recipe_for", "dish", "recipe for a dish", "[find|give me|show me] [a|the] recipe for <dish>|=How do I cook <dish>?"),
    ("calories", "food,grams#", "calories of a food", "=How many calories have <grams> grams of <food>?"),
    ("plant_info", "plant", "[facts about|about] a plant", "=What do you know about the plant <plant>?|[tell me|show me facts] about the plant <plant>"),
    ("star_map", "date,place", "map of the stars", "[show|draw] the stars over <place> on <date>"),
    ("tide", "port,date", "tide at a port", "=When is the tide at <port> on <date>?|[get|show] the tide of <port> for <date>"),
    ("caption", "image", "caption an image", "[caption|describe|write a caption for] [the image |]<image>"),
    ("to_speech", "text", "read a text aloud", "read <quoted_text> aloud|say <quoted_text>"),
    ("sign_document", "document", "sign a document", "sign [the document |]<document>"),
    ("stamp_time", "hash", "time-stamp a hash", "stamp [the hash |]<hash>"),
    ("explorer_tx", "tx", "look at a transaction", "[show|look at|explain] the transaction <tx>"),
    ("bid", "lot,price#", "bid on a lot", "bid <price> [on|for] [lot |]<lot>"),
    ("list_lots", "", "lots of the auction", "[show|list] the lots[ of the auction|]|=What is on auction?"),
    ("rent_bike", "station", "rent a bike at a station", "[rent|take] a bike at <station>"),
    ("swap", "from,to,amount#", "swap one token for another", "swap <amount> <from> [for|into|to] <to>"),
]

# Pairs of verb (as the line says it, as people say it) and noun for lines that nobody wrote.
VERBS = [
    ("start", "start launch begin"), ("stop", "stop end halt"), ("open", "open unlock"), ("close", "close shut"), ("show", "show display list"), ("find", "find search locate"),
    ("delete", "delete remove erase"), ("create", "create make add"), ("update", "update change edit"), ("check", "check test verify"), ("count", "count tally"), ("move", "move shift"), ("clean", "clean wash tidy"),
    ("paint", "paint colour"), ("repair", "repair fix mend"), ("order", "order request"), ("sell", "sell"), ("lend", "lend loan"), ("weigh", "weigh"), ("measure", "measure"), ("rename", "rename"),
    ("describe", "describe explain"), ("compare", "compare"), ("sort", "sort order"), ("lock", "lock secure"), ("cancel", "cancel drop"), ("approve", "approve accept"), ("reject", "reject decline"), ("publish", "publish post"), ("schedule", "schedule plan"), ("track", "track follow"), ("rotate", "rotate turn"), ("merge", "merge join combine"), ("split", "split divide"), ("copy", "copy duplicate"), ("archive", "archive store"), ("feed", "feed"), ("read", "read"), ("draw", "draw sketch"), ("record", "record tape"), ("rate", "rate"), ("tag", "tag label mark"), ("block", "block ban"), ("invite", "invite ask"), ("heat", "heat warm"), ("cool", "cool chill"), ("connect", "connect link"), ("export", "export"), ("import", "import load"), ("enable", "enable switch on, turn on"), ("disable", "disable switch off, turn off"),
]
KEYS = "name id code title number size colour day city person user room level file key label topic owner unit kind mode group place tag language format text date query".split()


def parameters(arguments):
    """The arguments of an entry of the catalogue: `(name, kind, whether it is a whole number)`."""
    out = []
    for argument in filter(None, arguments.split(",")):
        name, _, kind = argument.rstrip("#").partition("=")
        out.append((name.strip(), (kind or name).strip(), argument.endswith("#")))
    return out


def argument_value(entities, kind):
    """A value for an argument, by its name."""
    e = entities
    kind = kind.rstrip("#")
    if kind in ("level", "degrees", "stars", "copies", "id", "seconds", "minutes", "steps", "grams", "low", "high", "price", "number", "size", "amount", "value", "count", "limit"):
        return str(e.integer(1, 999 if kind in ("id", "number", "price", "amount") else 60))
    if kind in ("city", "place", "start", "end", "port", "stop", "station"):
        return e.choice(words.CITIES) if e.chance(0.5) else e.person()
    if kind in ("name", "to", "person", "user", "reader", "owner", "member"):
        if e.chance(0.15):
            return f"{e.word()}@{e.word()}.{e.choice(words.ENDINGS)}"
        return e.person() if e.chance(0.7) else e.payee()
    if kind in ("file", "source", "target", "image", "document", "folder"):
        return e.path() if kind != "folder" or e.chance(0.3) else e.word()
    if kind in ("date", "day"):
        return e.choice((e.choice(words.DAYS), f"2026-{e.integer(1, 12):02d}-{e.integer(1, 28):02d}", f"{e.integer(1, 28)} {e.choice(words.MONTHS)}"))
    if kind in ("code", "plate", "tx", "hash", "key", "ticker", "lot", "version", "sensor", "camera"):
        return e._split(lambda: e.choice((
            f"{e.syllables(1, 1).upper()}{e.integer(10, 9999)}", f"0x{e.hexadecimal(8)}", e.syllables(1, 2).upper(),
            f"{e.rng.randint(0, 9)}.{e.rng.randint(0, 20)}", f"{e.word()}-{e.rng.randint(1, 99)}", str(e.rng.randint(1, 99)))))
    if kind in ("language", "language_target"):
        return e.choice(words.LANGUAGES)
    if kind in ("host", "domain"):
        return e._split(lambda: f"{e.word()}.{e.choice(words.ENDINGS)}")
    if kind in ("pair",):
        return f"{e.syllables(1, 1).upper()}/{e.syllables(1, 1).upper()}"
    if kind in ("sql",):
        return f"select {e.choice(('*', e.word(), 'count(*)'))} from {e.word()}"
    if kind in ("direction",):
        return e.choice(("left", "right", "north", "south", "east", "west", "up", "down", "back"))
    if kind in ("room", "zone", "service", "app", "group", "pet", "item", "dish", "food", "plant", "kind", "colour", "unit", "mode", "tag", "label", "format", "option", "puzzle", "illness", "status"):
        return e._split(lambda: e.word() if e.chance(0.7) else f"{e.word()}{e.choice(('-', ' ', '_'))}{e.word()}")
    if kind in ("text", "body", "query", "reason", "subject"):
        return e.free_text(6) if kind in ("text", "body") else e._split(e.noun_phrase)
    return e._split(lambda: e.choice((e.noun_phrase(), e.word(), e.person(), f"{e.word()} {e.word()}")))
