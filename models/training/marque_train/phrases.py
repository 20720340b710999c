"""How people ask: for each intent, phrases with alternatives and slots (see `grammar`).

A phrase that starts with `=` is a whole sentence. Any other is an imperative, and is put into the
frames of `wrap`. Nothing in here was taken from the sets written by hand.
"""

OPENERS = [""] * 14 + [
    "please ", "please ", "please ", "can you ", "could you ", "would you ", "will you ", "kindly ",
    "can you please ", "could you please ", "I want you to ", "I need you to ", "I'd like you to ",
    "I would like you to ", "you should ", "you have to ", "your job is to ", "your task: ",
    "task: ", "goal: ", "now ", "next, ", "first ", "then ", "go and ", "go ahead and ", "let's ",
    "hey, ", "hey, can you ", "hi, please ", "hello, could you ", "ok, ", "okay, now ", "so, ",
    "quickly ", "just ", "time to ", "try to ", "help me: ", "do me a favour and ", "be so kind and ",
    "would you mind to ", "make sure to ", "don't forget to ", "remember to ", "we need to ",
    "we have to ", "we should ", "I have to ", "I need to ", "I want to ", "I'd like to ",
    "might you ", "any chance you could ", "if you can, ", "when you have a moment, ", "as agreed, ",
    "for me, ", "agent, ", "scout, ", "robot, ", "today: ", "todo: ", "one more thing: ",
    "I was wondering if you could ", "may I ask you to ", "feel free to ", "hurry and ",
]
CLOSERS = [""] * 8 + ["."] * 8 + [
    "!", "?", " please", " please.", ", please", ", please.", " now", " now.", " today", " today.",
    " for me", " for me.", " right away", " right away.", " thanks", ", thanks.", ", thank you.",
    " as soon as you can.", " when you can", " if you can.", " asap", ", ok?", ", will you?",
    " at once.", " soon.", ", would you?", " quickly.", " first.", " before lunch.", " this morning.",
    " this week.", " again.", " again please", ". Thanks!", ". It is urgent.", ". No hurry.",
    " and that's all.", ", that is all", " :)", "!!", "...", " - thanks", ". Cheers",
]
ASIDES = [""] * 10 + [
    "Good morning. ", "Hi! ", "Hello. ", "Hey. ", "I'm back. ", "Listen. ", "One more thing. ",
    "It's me again. ", "Okay. ", "Right. ", "So. ", "Well, ", "Quick thing. ", "Sorry to bother you. ",
]

# Who gets what. <who> <amount> <why>
PAY_VERB = "[pay|pay|pay|send|send|transfer|give|wire|remit|forward|hand|slip|lend|advance|award|grant|refund|reimburse|repay|tip|compensate|reward|fund|sponsor|credit]"
GIVE_VERB = "[pay|send|transfer|give|wire|remit|forward|hand|hand over|deliver|move|push|shift|pass|pass on|release|disburse|donate|contribute|return|refund|repay|pay back|pay out|pay over|send over|send out|wire over|transfer over|lend|advance|allocate|issue|deposit|dispatch|convey|gift]"
PAY = [
    f"{PAY_VERB} <who> <amount>", f"{PAY_VERB} <who> <amount>", f"{PAY_VERB} <who> <amount>",
    f"{GIVE_VERB} <amount> to <who>", f"{GIVE_VERB} <amount> to <who>", f"{GIVE_VERB} <amount> to <who>",
    f"{GIVE_VERB} to <who> [a total of|the sum of|the amount of|exactly|] <amount>",
    f"{PAY_VERB} <who> [a total of|the sum of|the amount of|exactly|his|her|their|those|the full|the] <amount>",
    "[make|arrange|do|issue|start|set up|schedule|carry out|execute|process|approve] [a|the|one|a quick] [payment|transfer|payout|remittance|refund|donation] of <amount> [to|for] <who>",
    "[settle|clear|pay off|pay|square|close|cover|take care of|handle|sort out|discharge|wipe out] [the|our|my|that|this] [debt|bill|invoice|tab|account|fee|balance|charge|sum|order|claim|due] of <amount> [with|to|from|at|for] <who>",
    "[settle up|square up|get even|get square|make up] with <who>[,|:| for| with|] <amount>",
    "[settle|pay|clear|cover] [<who>'s|the <who>] [bill|invoice|fee|tab|charge|wage|salary|order|share] of <amount>",
    "make sure [that |]<who> [gets|receives|has|is paid] <amount>",
    "see to it that <who> [gets|receives|is paid] <amount>",
    "[let|have] <who> have <amount>", "[get|bring] <amount> to <who>", "get <who> <amount>",
    "get <who> [paid|their money]: <amount>", "pay <amount> [over|out|] to <who>",
    "pay <who> what [we|I] owe [them|him|her|], [that is|that's|it is|it's|namely] <amount>",
    "pay <who> [back |]the <amount> [we|I] [owe|borrowed|promised|agreed on]",
    "pay <who> back[,|:] <amount>", "pay [the|our|my] [friend|client|partner|supplier|neighbour|landlord|colleague|seller|worker], <who>, <amount>",
    "put <amount> [into|in] the [account|wallet|hands|pocket] of <who>", "top up <who> [with|by] <amount>",
    "[donate|contribute|add|give|chip in] <amount> [to|for] <who>", "treat <who> to <amount>",
    "take <amount> [from|out of] [my|our|the] [wallet|account|funds|balance|budget] and [give|send|pay] it to <who>",
    "use [my|our|the] [wallet|account|funds|balance|budget] to pay <who> <amount>",
    "buy [it|one|this|that] from <who> for <amount>", "pay the <amount> [that |]<who> [asks|asked|wants|charges|is owed|is asking] [for|]",
    "spend <amount> on <who>",
    "[kick|throw|toss|shoot|drop|slide|beam|fling|funnel|route|channel|direct|ship|mail|bring|get|put|sling|drip|pour|drive|carry|submit|post|yield|surrender|assign|grant|offer|loan|cash|chuck|zip|swing] <amount> [over |across |through |on |along |up |out |]to <who>", "[shoot|toss|throw|slip|float|spare|loan|spot|fix|front|drop|kick|chuck|beam|bring|ping|cash] <who> <amount>",
    "=<who> [gets|is owed|should get|should receive|must get|needs|is due|deserves|earned|has earned|is to get|will get] <amount>[ from me| from us|][, pay it|, send it|. Pay it|. Please send it|. Please pay|, please transfer it|. Make the payment|]",
    "=<who> is [waiting for|expecting|asking for|due|owed] <amount>[, send it|. Send it.|, pay up.|. Please pay it.|; transfer it]",
    "=[I|We] [owe|promised|still owe|have to pay|must pay|need to pay|should pay|want to pay|would like to pay|have to give] <who> <amount>[.|, pay it.|. Pay it.|. Please settle that.|, send it over.|; please pay|. Deal with it.| - please send it]",
    "=[There is|There's|We have|We got|I have|I got] [a bill|an invoice|a fee|a charge] [of|for|over] <amount> from <who>[, pay it.|. Pay it please.|, please settle it.|. Settle it.|; take care of it]",
    "=[Payment|Payout|Transfer|Remittance|Donation|Refund|Tip][:| due:|:] <amount> [to|for] <who>", "=<amount> [to|for] <who>[.| please.|, please| now]",
    "=<who>[:|,| -] <amount>[.| please]", "=<who> [helped|worked|did a good job|fixed it|delivered|finished the work|lent me money|did the job][, pay|. Pay|, so pay|, send|. Send] [them|him|her] <amount>[.|]",
    "=[It is|It's] [payday|time to pay|rent day|due today][:|,|.] <amount> [to|for] <who>",
    "=[The|This|That] [<thing>|<thing>|<thing>] [costs|is|was|cost|comes to|came to] <amount>[, pay|. Pay|. Please pay|; pay] [it to |]<who>[.| please|]",
    "=[My|Our] [share|part|half|contribution|debt|bill|rent|fee] [is|was] <amount>[, pay it to|. Pay it to|, send it to|; give it to|. Transfer it to] <who>[.|]",
    "=[The|] [payee|recipient|receiver|seller] is <who>[,| and] the amount [is |]<amount>[, pay.|. Pay it.|. Send it please.]",
    "=Amount[:|] <amount>[,|;|.] [payee|recipient|to][:|] <who>[. Pay.|. Please pay.|]",
    "=Invoice <number> from <who>[ is|:| over| comes to] <amount>[, pay it.|. Pay it.|, please settle|. Take care of it.]",
    "=[Could|Can|May|Shall] <amount> [go|be sent|be paid|be transferred|be wired] to <who>?", "=[Can|Could] <who> [get|have|be paid] <amount>[ from us| from me|]?",
    "=I want <who> to [have|get|receive] <amount>[.|]", "=<amount> [goes|should go|must go|have to go|are due] to <who>[.|, please.]",
    "=Let <who> have <amount>[.|]", "=[Here is|Here's] what to do: [pay|send] <who> <amount>[.|]",
]
PAY_WHY = [
    f"{PAY_VERB} <who> <amount> for <why>", f"{GIVE_VERB} <amount> to <who> for <why>",
    "pay <who> for <why>[,|:] <amount>", "[reimburse|compensate|refund|reward] <who> for <why> [with|,] <amount>",
    "make a payment of <amount> to <who> for <why>", "=<who> [gets|is owed|should get|needs] <amount> for <why>[, pay it.|. Pay it.|. Please send it.]",
    "=[I|We] owe <who> <amount> for <why>[.|, pay it.|. Please settle.]", "=For <why> [pay|send] <who> <amount>[.|]",
    "=<amount> to <who> for <why>[.|, please.]",
]

BALANCE = [
    "[check|show|show me|tell me|give me|get|look up|look at|read|report|say|state|display|print|query|view|find out|see|let me see|let me know] [my|our|the|the current|my current|the agent's|your] [balance|wallet|funds|account|money|budget|wallet balance|account balance|remaining balance|remaining funds|available funds|financial state|means|reserves|savings|cash]",
    "[tell me|say|report|show|show me|let me know|find out|check] [how much|what|how much money|how much USDC|how many USDC|what funds|what money|what amount|how many coins|how many dollars] [I have|we have|is left|are left|is there|there is|remains|remain|I can spend|we can spend|may be spent|you have|you may spend|is in the wallet|is in the account|we hold|I own|we still have|we've got|is available]",
    "=How much [money|cash|USDC|budget|credit|] [do I have|do we have|have I got|have we got|is left|is there|is in my wallet|is in the wallet|is on the account|can I spend|can we spend|may you spend|is available|remains|do we own|do you have|do we hold|is still there]?",
    "=How many [USDC|coins|dollars|euros|credits] [do I have|do we have|are left|are there|are in my wallet|are in the wallet|can I spend|remain|do you have]?",
    "=What [is|'s] [my|our|the|the current|your|the present] [balance|wallet balance|account balance|budget|remaining budget|financial situation|amount of money left|state of the wallet]?",
    "=What [do I have|do we have|is left|is in my wallet|is in the wallet|is in the purse|remains|can I afford|funds remain|money is there|can we spend]?",
    "=[Balance|Wallet|Funds|Budget|Money|Account|Purse|My balance|Current balance|Wallet status|Money left]?", "=[balance|wallet|funds|budget|purse|money left|account balance|balance check]",
    "=[Do|Have] we [have|got] [any|enough|some] [money|funds|cash|USDC|coins][ left|]?", "=[Is|Is there] [any|some|] [money|cash|USDC] left[ in the wallet| in the account| on the account|]?",
    "=Am I [rich|poor|broke|out of money|solvent]?", "=Are [we|you] [rich|poor|out of money|solvent|liquid|running low on money]?",
    "=[I want|I'd like|I need] to [know|see|check] [my|our|the] [balance|funds|wallet|account balance|budget|cash]", "=I wonder how much [money |]is left.",
    "=[How|What] [is|about] [the|my|our] [wallet|balance|account|budget|purse][ doing| today|]?", "=[Where|How] do [we|I] stand with [our|my|the] [money|funds|budget|finances]?",
    "=[How full|How empty] is [the|my|our] [wallet|purse|account]?", "=Is [the|our] [wallet|purse|account] [full|empty|funded]?", "count [my|our|the] [money|coins|cash|funds]",
]

FETCH_VERB = "[fetch|fetch|read|get|open|download|load|check|visit|look up|look at|query|see|go to|access|retrieve|request|pull|call|view|browse|inspect|study|scan|crawl|poll|examine|consult|review|try|take|show|print|display|watch|follow|survey|explore|find|search|probe|obtain|collect|tap|monitor]"
REPORT = "[report the value|report|report back|report it|tell me|tell me what it says|tell me the value|give me the value|tell me what is there|say what is there|say what it says|show me|show the result|summarise it|sum it up|let me know|let me know what it says|tell me the reading|answer|tell me the number|say what you see|describe it|inform me|give me the result|tell me more]"
FETCH = [
    f"{FETCH_VERB} <url>", f"{FETCH_VERB} <url>", f"{FETCH_VERB} <url>[,| and|;| and then|, then|.] {REPORT}", f"{FETCH_VERB} <url> and {REPORT}", f"{FETCH_VERB} <url> and {REPORT}",
    f"{FETCH_VERB} [the|this|that] [page|site|feed|data|file|document|address|link|url|website|article|resource|service|text|report|table|news|price|number|value|figure|forecast] [at|on|from|under|behind|of|:|] <url>",
    f"{FETCH_VERB} [the|] <thing> [at|on|from|under|of] <url>[ and {REPORT}|]",
    f"[tell me|say|show|show me|give me|find out|let me know|report|explain|describe|summarise|list|check|see|look up] [what is|what's|what stands|what they say|what you find|the content|the contents|the value|the text|the data|the number|the news|the price|the latest|the reading|the title|the main point|everything|anything new|the gist|the words|the weather|the figure] [at|on|from|of|under|in] <url>",
    "[tell me|say|show me|find out|report|explain] what <url> [says|holds|contains|reports|offers|shows|is about|gives|returns|serves|tells|lists|states]",
    "[summarise|summarize|describe|quote|explain|check|test|evaluate|read out|print] <url>",
    "=What [is|'s|stands|can be read|can I find|do they say|is written|is shown|is new|is the value|is the number|is the price|is the news] [at|on|under|in] <url>[?| ?]", "=What does <url> [say|hold|contain|report|show|return|tell|list|give|offer|state][?| ?| today?| now?]",
    "=[I|We] [need|want|would like|must have|have to know|am after|am looking for] [the <thing>|the value|the data|the content|the text|the number|what is|the reading|the page] [at|from|on|of|under] <url>[.|]", "=I [need|want] to [know|see|read|hear] what [is on|is at|stands at|they write on] <url>[.|]",
    "=[Is|Are] [there|the <thing>] [anything|something|news|] [new |interesting |]at <url>?", "=Does <url> [work|still work|answer|say anything|have news|mention <thing>]?",
    "=<url>", "=<url>[?|!|.| please| - what does it say?|: what is there?|, read it|, what's that?| - read this]", "=[Source|Link|Page|Here|See|Url|Address|Website|Feed][:|] <url>[. Read it.|. What does it say?|]",
    "=[The|Our|My] <thing> [is|stands|can be found|is published|lives|was posted] [at|on|under] <url>[, read it.|. Read it.|; what does it say?|. What is it?|. Tell me what it says.|, check it.]",
    "=Have you seen <url>? [What does it say?|Read it.|Tell me about it.]", "=How [much|many|is|high|old|big] is [the <thing>|it] [at|on|according to] <url>[?|]", f"take a [look|peek|quick look|good look|glance] at <url>[ and {REPORT}|]", "<odd> <url>", f"<odd> <url>[,| and|. Then] {REPORT}", "<odd> <odd> <url>", "=<clause>[:|,|. See|. It's on|. Read] <url>[.|?| please|. What does it say?]",
    "have a [look|peek|glance] at <url>", "=According to <url>, [what is|how is|where is|how much is] [the <thing>]?", "use <url> to [tell me|find|get|see] the <thing>",
]
FETCH_LIMIT = ["[ Spend| Pay| Use] [at most|no more than|up to|not more than|a maximum of] <limit>.", "[,| -|;] [spend|pay] [at most|no more than|up to] <limit>", " [Budget|Limit|Maximum|Max|Price limit][:|] <limit>.", " [It may cost|It can cost] [up to|at most] <limit>.", " [for|costing] [at most|no more than] <limit>"]
PICK = [
    "[fetch|get|read|take|pull|extract|give me|tell me|show me|return|report|grab|find|select] [only |just |]the [field|key|value|entry|property|column|] <pick> [from|of|at|in|out of] <url>",
    "[fetch|get|read|take|give me|return|pick|extract] [only |just |]<pick> [from|of|at|in|out of] [the JSON at |the JSON of |the data at |]<url>",
    f"{FETCH_VERB} <url> and [give me|pick|take|tell me|return|report|extract] [only |just |][the field |the key |the value of |]<pick>",
    "=[What is|I need|I want|I only need|Give me] [the field |the key |the value of |the entry |]<pick> [from|in|of|at] <url>[?|.|]", "=<url>[,|:] [only|just] [the field |the key |]<pick>[.| please|]",
    "=From <url> [I need|I want|take|get|give me|read] [only |just |][the field |the key |]<pick>[.|]",
]

TOUR = ["[compare|fetch|read|check|visit|open|query|look at|get] [all of |]<url>", "[compare|report|tell me|give me] [the values of|what is at|the values at|the data at] <url>"]

READ_FILE = [
    "[read|open|load|show|show me|print|display|view|check|look at|look into|go through|get|see|inspect|examine|quote|list|output|recite|scan|study|review|summarise] [the file |the document |the text |my file |the contents of |the content of |the text in |the text of |what is in |what's in |the notes in |the list in |]<path>",
    f"[read|open|load|check|view] [the file |]<path>[,| and| and then|, then] {REPORT}",
    "[tell me|say|show me|report|find out|explain|describe|summarise] what [is in|stands in|is written in|I wrote in|we wrote in|is inside|you find in] <path>",
    "[tell me|say|report] what <path> [says|contains|holds|is about]", "=What [is|'s|stands|is written|have I written|did we write|is stored|is listed|can be read] in [the file |our file |my file |]<path>?",
    "=What does [the file |our |my |]<path> [say|contain|hold|tell|list]?", "=[I|We] [need|want] [the contents of|the text of|what is in|to see|to read|to know what is in] [the file |]<path>[.|]",
    "=<path>[?|, read it|: what does it say?|, open it please| - show me]", "[have|take] a look [at|into] [the file |]<path>", "=Is there anything in [the file |]<path>?", "<odd> [the file |]<path>", "<odd> <path>[ and {REPORT}|]".replace("{REPORT}", REPORT), "=<clause>[:|,|. See] <path>[.|?| please]",
]
WRITE_FILE = [
    "[write|save|store|put|record|enter|type|add|note|log|dump|print|place|copy|append|insert|keep|export|paste|jot|jot down|write down|set down] <quoted> [to|into|in|to the file|into the file|in the file|in a file called|to a file named|in a file named|as|under] <path>",
    "[write|save|store|put|record|enter|type|add|note|log|dump|append] [the text|the words|the line|the sentence|the message|the note|the following|this|this text|this line|that] <quoted> [to|into|in|to the file|into the file|in the file|in a file called|as] <path>",
    "[create|make|write|start|open|produce|generate|prepare] [a file|the file|a new file|a text file|a document|a note|] [called |named |]<path> [with|containing|that says|that contains|saying|which says|and write|with the text|with the content|with the words|reading|and put in] <quoted>", "<odd> [the text |the words |the line |]<quoted> [to|into|in] <path>",
    "[write|put|enter|save] in[to|] <path>[:|] <quoted>", "fill <path> with[:|] <quoted>", "=[Write|Save][ to|] <path>: <quoted>", "=[The file|File] <path> [should|must|shall] [say|contain|read|hold|have][:|] <quoted>",
    "=[I|We] [want|need] [a file|the file|] <path> [that says|with|containing|saying|with the text] <quoted>", "=<quoted>[ -|,|;] [save|write|put|store] [that|this|it] [to|in|into|as] <path>",
]

REMEMBER = [
    "[remember|remember|note|keep in mind|bear in mind|memorise|memorize|know|learn|store|record|save|do not forget|don't forget|never forget|write down|note down|make a note|take note|store the fact|mark|log|keep a note] that <fact>",
    "[remember|note|keep in mind|memorise|don't forget|do not forget|store|save|record|write down|note down|keep|retain|file|take a note|make a note|hold on to|commit to memory|put in your memory|add to your memory|keep a record|learn][:| this:| the following:|, please:| for later:] <fact>",
    "[remember|note|memorise|store|save|keep|record] [for later|for me|for the future|for next time|for good|please|][,|:| that] <fact>",
    "=[Remember|Note|Memo|Keep in mind|For later|For your memory|Fact|Reminder|For the record|Keep this|Save this|Learn this|To remember|Important|NB|Please note]: <fact>", "=<fact>[. Remember that.|. Remember it.|, remember that.|. Keep that in mind.|. Please note it.|. Don't forget.|, note that please|. Save that.|. Store this.|. Please remember.|, keep it for later| - remember this]",
    "=[You should|You must|I want you to|Please|I need you to|Always|You need to] [remember|know|keep in mind|note|learn|memorise] that <fact>[.|]", "=For [later|the future|next time|future use|the record|your information], <fact>[.|. Remember it.|]",
    "=[I tell you|Let me tell you|I'm telling you] [this |]so you [remember|don't forget|keep it]: <fact>", "save the [fact|note|information|detail] that <fact>", "=<fact>[, FYI| - for your notes|, for later][.|]",
]
RECALL = [
    "[recall|look up|find|search|get|retrieve|bring up|dig up|look for|search for|check] [in |][my |our |your |the |][notes|memory|memories|records|note] [on|about|for|of|regarding|concerning] <topic>", "[recall|remember] [what I said about|what we said about|what you know about|what I told you about|the|everything about|what you learned about] <topic>",
    "[tell me|say|report|show me|remind me|let me know] what [you remember|you know|you noted|I said|I told you|we noted|we said|you stored|you have noted|I once said|you learned|you have|I noted|we agreed] [about|on|of|regarding] <topic>", "remind me [of|about] [the |my |our |]<topic>",
    "[search|check|look in|look through|go through|consult|query|use|browse] [your|my|our|the] [memory|notes|records|memories] [for|about|on|and find] [the |]<topic>",
    "=What [do you remember|do you know|did I say|did I tell you|have I told you|did we note|have you noted|did you store|do you recall|did I mention|did we say|have you stored|is in your memory|do you have] [about|on|regarding] [the |my |our |]<topic>?", "=What [was|were] [the|my|our] <topic>[ again| I told you about| I mentioned| we noted|, do you remember|, again]?",
    "=[Do|Can] you [still |][remember|recall|know] [the|my|our|anything about|anything on|something about|what I said about] <topic>?", "=[Have|Did] [you|we|I] [noted|stored|saved|kept|told you|say|note|mention|remember] anything [on|about] <topic>?", "=[Who|Where|When|What|How] [is|was|are] [the|my|our] <topic>[? You should know.|? I told you.|? I told you once.|, as I told you?|, according to your notes?|? Check your memory.|? It's in your notes.]",
    "=Where did I [say|tell you|mention|note] [the|my|our] <topic> [is|was]?", "=[Any|Is there any|Are there any] [notes|memory|memories|note] [on|about|of] <topic>?", "=Which <topic> did I [mention|tell you|name|note]?", "=What did I say the <topic> was?", "=Do you [still |]know [who|where|what|when] [the|my|our] <topic> is?",
]
ASK_OWNER = [
    "ask [the owner|my owner|your owner|the owner of this agent|me|the human|the boss|my boss|whoever owns you|the person in charge] <question>",
    "[check with|consult|question|consult with|inquire of|enquire with|clarify with|confirm with|verify with|find out from|learn from|hear from|get word from] [the owner|my owner|your owner|the boss|the human|the person in charge] <question>",
    "[get|ask for|seek|request|obtain] [the owner's|my owner's|your owner's|the boss's] [opinion|view|decision|permission|approval|answer|advice|consent|okay|word|wish] [on|about|for|:] <matter>", "[let|have] [the owner|my owner|the boss|your owner] [decide|say|choose|tell us] <question>",
    "[put|pose|send|bring|submit|take] [this|the|this question|the question|a question|the following] [to|before] [the owner|my owner|the boss|your owner][:|] <direct>", "[ask|question] [the owner|my owner|your owner|the human|the boss|me][:|,] <direct>",
    "=[Question|A question|One question] [for|to] [the owner|my owner|your owner|the boss|the human]: <direct>", "=[I am not sure|I don't know|I can't decide|Not sure|No idea] <question>[, ask the owner.|. Ask the owner.|; check with the owner|. Let the owner decide.]",
    "=What does [the owner|my owner|the boss|your owner] [think|say|want] [about|of|on] <matter>?", "=[Only|Let] the owner [can|may|should] [decide|say|know] <question>[, ask.|. Ask.|]",
    "run <matter> [by|past] [the owner|my owner|the boss]", "ask [the owner|my owner|the boss] [about|for] <matter>",
]
FIND_AGENTS = [
    "[find|find me|look for|search for|search|seek|discover|locate|look up|list|show|show me|get|get me|name|identify|track down|query the registry for|scout for|hunt for|browse for|find out about] [an agent|agents|some agents|other agents|any agents|all agents|someone|somebody|a worker|workers|a provider|providers|a seller|sellers|a service|services|people|an expert|experts|a specialist|a bot|bots] [for|that does|that do|that can do|who can do|who does|who offers|that offer|that offers|offering|that sell|that sells|selling|with the skill|skilled in|with skills in|who knows|able to do|specialised in|good at|capable of|doing|providing|that provide] <skill>",
    "[find|look for|search for|list|show me] <skill> [agents|providers|workers|services|sellers|bots|experts|specialists]", "search the [registry|market|market place|network|directory|chain|web of agents] for [agents with |agents for |someone for |a provider of |sellers of |]<skill>",
    "=[Who|Which agent|Which agents|What agents|Which service|Which worker|Who else|Which providers] [can do|does|do|offers|offer|sells|sell|provides|provide|is good at|are good at|knows|know|specialises in|could do|handles|handle|has the skill] <skill>[ here| out there| around|]?",
    "=[Is|Are] there [any agent|an agent|agents|any agents|anyone|anybody|somebody|a provider|providers|a service|any bots|someone|a worker] [for|that does|that offers|who offers|offering|who can do|with the skill|selling|doing|who does|specialised in|skilled in|good at] <skill>[ around| out there|]?",
    "=[I|We] [need|want|am looking for|would like|search] [an agent|agents|someone|somebody|a provider|a service|a list of agents] [for|that does|who offers|with the skill|skilled in|offering|who does|good at] <skill>[.|]", "=[Any|Some] agents [for|with|that do|offering|doing|skilled in] <skill>[?|]",
    "=Do you know [an agent|agents|any agent|any agents|anyone|anybody|someone] [for|who does|that does|who offers|offering|that offers|doing|skilled in] <skill>?", "=[Agents|Providers|Sellers|Workers] [for|of|with] <skill>[?|, please|]",
]
FIND_AGENTS_DO = [
    "[find|find me|look for|search for|locate|discover|list|seek] [an agent|agents|someone|somebody|a worker|a provider|bots] [to|that can|who can|who could|able to|that will|who will] <task>",
    "=[Who|Which agent|Which agents|Who out there|Which worker] [can|could|is able to|knows how to|would|will|might] <task>?", "=[Is there|Are there] [an agent|agents|anyone|anybody|someone] [that can|who can|able to|who could] <task>?",
]

HIRE_HEAD = "[hire|hire|hire|engage|pay|book|employ|contract|commission|recruit|get|find|find me|bring in|take on|rent|use|order|appoint|retain]"
WORKER = "[someone|somebody|a worker|a machine|compute|an agent|another agent|a helper|a freelancer|an expert|a professional|a contractor|a specialist|some help|a bot|a server|help|a hand|another machine|some compute|extra hands|a person|a model]"
HIRE = [
    f"{HIRE_HEAD} {WORKER} to <task>", f"{HIRE_HEAD} {WORKER} to <task>", f"{HIRE_HEAD} {WORKER} [that can|who can|that will|who will|that could|who could] <task>",
    f"[have|let] {WORKER} <task>", f"<odd> {WORKER} to <task>", f"get {WORKER} to <task>", f"[ask|instruct|pay|task|tell] {WORKER} to <task>", "[rent|buy|get|lease|order|purchase] [compute|a machine|computing power|machine time|some compute|a server|compute time|processing power] [to|and] <task>",
    "[outsource|delegate|farm out|hand off|hand over|contract out|commission|order|buy|purchase|source out|sub-contract|give away] [this job|the job|this|the following|this work|the task|the work|a job][:|] <task>",
    "[run|start|order|buy|place|post|submit] [the job|this job|a job][:|] <task>[ on hired compute| on a rented machine| with a worker|]", "[run|start] the job <task>[ on hired compute|]",
    "[buy|order|get|purchase] a completion [to|that will] <task>", f"[put|set] {WORKER} on [this|the job|it]: <task>", f"[put|set] {WORKER} [to|on] <task>",
    f"=[I|We] [need|want|am looking for|would like|could use] {WORKER} [to|that can|who can|who will] <task>[.|]", "=[Job|Work|Task] for [hire|a worker|the worker|a hired machine|rented compute|outsourcing]: <task>[.|]",
    "=[Would|Could|Can|Will] [someone|somebody|a worker|an agent] <task>[ for pay| for money| for a fee]?", "=[We|I] [can't|cannot|don't want to|have no time to] <task>[ ourselves| myself|][, hire someone.|. Hire someone.|, get a worker.|; hire help]",
]
HIRE_LIMIT = "[ for at most| for up to| for no more than| for not more than| for less than| for under| for a maximum of|, max| max|, maximum|, at most|, limit|, up to|, no more than|, budget|, cap| with a budget of| with a limit of| and pay at most| and pay no more than| and spend at most| and spend up to| and pay up to|, paying at most|, paying up to|. Budget:|. Max|. Limit:|. Pay at most|. Do not spend more than|. No more than|. Spend at most|. At most| at a price of at most| for|; price limit|, for a price up to|. It may cost up to|, I pay up to|, not above|, below|. Maximum price]"
HIRE_LIMIT_FIRST = [
    f"=[For|With] [at most|up to|no more than|a budget of|a maximum of|under|less than] <limit>[,|] [hire|get|rent|find|pay] {WORKER} to <task>[.|]", f"=[Spend|Pay|Use] [up to|at most|no more than] <limit> [to have {WORKER} <task>|on {WORKER} to <task>][.|]", f"pay {WORKER} [at most|up to|no more than] <limit> to <task>",
]

CALC = [
    "[calculate|compute|work out|evaluate|solve|figure out|find|determine|do|get|tell me|give me|say|show me|check|reckon] [the result of |the value of |what is |how much is |the sum |]<sum>", "=[What|How much] [is|are|makes|would be] <sum>[?|]", "=[What's|what's|whats] <sum>[?|]", "=If [I|you|we] [do|take|compute] <sum>, what [do I|do you|do we] get?",
    "=What [do|does] <sum> [make|give|come to|equal|amount to|result in]?", "=<sum>", "=<sum>[?| =| = ?|, please| equals what?| is what?| makes?]", "=[I need|I want|I'd like|We need] [the result of|to know|the value of|the answer to|] <sum>[.|]", "=[Maths|Math|Quick maths|Sum|Question|Arithmetic|Exercise|Problem]: <sum>", "=[Can|Could] you [calculate|compute|work out|do] <sum>?", "=[The|] [answer to|result of|value of] <sum>[?|, please]",
]
NOW = [
    "=[What|What's] [time|is the time|hour|day|date|is the date|is today's date|is the day|weekday|month|year|is the current time|is the current date|is the hour|day of the week] [is it|is it now|is it today|today|now|right now|is today|do we have|at the moment|]?", "=What [time|day|date] is it[?| now?| right now?| today?]", "[tell me|give me|say|show|show me|report|check|get|find out|look up|display] [the time|the date|the current time|the current date|today's date|the hour|what time it is|what day it is|the day of the week|the weekday|which day it is|the exact time|the time and date|the date and time|the clock]",
    "=[time|date|clock|current time|what time|the time|today's date|date and time][?|]", "=[How|Is it] late [is it|already]?", "=How late is it[?| now?]", "=[Which|What] [day|weekday|month|year|date|hour] [is it|is today|do we have|do we have today]?", "=[Do you know|Do you have|Have you got|May I have|Can you tell me|Could you tell me|Can I have] the [time|date|hour]?", "=Is [it|today] [Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday|morning|noon|evening|night|late|the weekend|past noon|midnight|a weekday][ already| now| today| yet|]?", "=[I need|I want|I'd like] to know [the time|the date|what time it is|what day it is]", "check the [clock|calendar|time|date]",
]
NOW_ZONE = ["=What time is it in <zone>[?| now?| right now?]", "=What [is|'s] the time in <zone>?", "[tell me|give me|say|show|get|check] the [time|current time|date|local time|hour] in <zone>", "=[time|current time|local time] in <zone>[?|]", "=How late is it in <zone>[?| now?]"]

# What a page or a file says, handed on.
FETCH_PAY = [
    f"{FETCH_VERB} [the bill at |the invoice at |the price at |the amount at |the fee at |]<url>[ and|, then|, and then|. Then|;] [pay|send|transfer|give] [that amount to <who>|that to <who>|it to <who>|what it says to <who>|<who> that amount|<who> what it says|<who> the amount|<who> whatever it says|<who> that sum|the amount to <who>]",
    "pay <who> [the amount|what is stated|whatever is stated|what it says|the sum|the price|the fee|the total|as much as it says] [at|on|under|in] <url>", "=[The|A|Our|My] [bill|invoice|fee|price|debt|total|tab|charge] [of|from|for] <who> [is|stands|can be found] at <url>[. Pay it.|, pay it.|; settle it|. Please settle it.|. Take care of it.]", "=[The|A|Our|My] [bill|invoice|fee|price|total|tab|charge] is at <url>[. Pay it to <who>.|, settle it with <who>.|; pay <who>|. Please pay <who>.|. Send it to <who>.]",
    "=<who> is owed what <url> says[, pay it.|. Pay that.]", "find out [at|from] <url> [what|how much] [we owe|I owe|is owed to] <who> and [pay it|send it|settle it|pay that]", "[settle|pay] the [bill|invoice|fee] at <url> [with|to] <who>", "=<url> [says|shows|has|states|tells] what [I owe|we owe|is owed to] <who>[, pay it.|. Pay that.|; settle it]",
]
READ_PAY = [
    "[read|open|check|look in|see|look at] <path>[ and|, then|, and then|;] [pay|send|transfer|give] [that amount to <who>|that to <who>|it to <who>|<who> that amount|<who> what it says|<who> that sum]",
    "=The [amount|sum|price|fee|bill] for <who> [is|stands] in <path>[, pay it.|. Pay it.|; send it]", "look in <path> [for the amount|for what we owe|how much it is] and [pay|send|wire|transfer] it to <who>", "pay <who> [what|the amount|the sum] [is written in|stands in|stated in|in] <path>"]
FETCH_SAVE = [
    f"{FETCH_VERB} <url> and [save|write|store|put|copy|keep] [it|the value|the result|what it says|that|the content|the data] [to|in|into|as|in the file|to the file] <path>", "[save|write|store|copy|put|download] [the value|the data|the content|the text|what is|what stands|the page] [at|from|of|on] <url> [to|in|into|as] <path>", "[download|copy|save|mirror|export] <url> [to|into|as] <path>", "=[I need|I want] [what is at|the content of|the data from] <url> in [the file |]<path>[.|]", "[fill|update] <path> with what <url> says",
]
FETCH_REMEMBER = [f"{FETCH_VERB} <url> and [remember|note|memorise|keep in mind|store in memory] [it|the value|the result|what it says|that]", "[remember|note|memorise|keep in mind] [the value|the data|what is|what stands|the number|what they say] [at|from|of|on] <url>", f"{FETCH_VERB} [the |]<thing> [from|at|on] <url> and [remember|note|memorise] it"]
READ_COPY = ["copy [what is in |what's in |the text of |the content of |]<path> [to|into] <path2>", "read <path> and [write|save|put|copy] it [to|into] <path2>", "[duplicate|back up] <path> [as|to|into] <path2>"]
CALC_PAY = ["[calculate|work out|compute|evaluate] <sum> and [pay|send|give] <who> [that amount|the result|that many USDC|that much|so many USDC|that]", "pay <who> [the result of|the value of|as much as] <sum>", "=[What is|How much is] <sum>? [Pay|Send] <who> [that|the result|that amount].", "[calculate|work out|compute] <sum> and [pay|send|transfer] [it|the result|that amount] to <who>"]
CALC_SAVE = ["[calculate|work out|compute|evaluate] <sum> and [write|save|put|store] [it|the result|that|the answer] [to|in|into] <path>", "=[What is|How much is] <sum>? [Write|Save|Put] [it|the result|that|the answer] [to|in|into] <path>."]
RECALL_PAY = ["[recall|look up|remember|check your memory for|find in your notes] what we [owe|agreed to pay|promised] <who> and [pay it|pay that|send it|pay them]", "=What did we [agree to pay|promise|say we owe] <who>? [Pay it.|Pay that.|Send it.|Pay them that.]", "pay <who> [what we noted|what you remember|what I told you|the amount in your memory|what I said]"]
AFFORD = [
    "pay <who> <amount>[,|] [if we can afford it|if I can afford it|if there is enough|only if there is enough|if the balance allows it|if the wallet has enough|if we have enough|but only if we have that much|provided we can afford it|if the funds suffice|if our balance covers it|as long as we can afford it|if the money is there|only if the wallet covers it|when there is enough in the wallet]",
    "=If [we can afford it|there is enough|the balance allows|we have enough|the money is there|the wallet covers it|our funds suffice], [pay|send|transfer|give] <amount> to <who>[.|]", "=If [we can afford it|there is enough|the balance allows|we have enough|the money is there|the wallet covers it], [pay|send|give] <who> <amount>[.|]", "check [the balance|whether we can afford it|if there is enough|the wallet|our funds] and [then |][pay|send] <who> <amount>[ if so| if we can| if there is enough|]", "[send|transfer|give] <amount> to <who>[,|] [if we can afford it|if there is enough|only if the balance allows it|if the wallet has enough|provided the funds suffice|as long as it is affordable]",
]
ENOUGH = ["=[Do we have enough money|Is there enough|Have we got enough|Is the balance enough|Are there enough funds] for [<amount>|a <thing> of <amount>|the <amount> <thing>]?", "=Can [I|we|you] afford [<amount>|to spend <amount>|to pay <amount>|a <thing> for <amount>]?", "[check|tell me|see|find out|say] [whether|if] [we|I] can afford [<amount>|a <thing> for <amount>]"]
BALANCE_SAVE = ["[check|get|look up] [my|our|the] [balance|funds|wallet] and [write|save|put|note] it [to|in|into] <path>", "[write|save|put] [my|our|the] [balance|funds|wallet balance] [to|in|into] <path>", "=How much [money |]do we have? [Write|Save|Put|Note] it [to|in|into] <path>."]
FIND_HIRE = ["[find|look for|search for] [an agent|someone|a worker|somebody] [for|who does|that does|who offers|with the skill] <skill>[ and|, then|, and then| and then] [hire them|hire it|have them|pay them|get them] to <task>"]
SAVE_NOTE = ["[remember|note|save|store|write down|keep|record] [that |a note: |this: |: |]<fact>", "=[Note|Memo|Remember|Save this]: <fact>"]
