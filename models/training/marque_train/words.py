"""Word lists, written for this project. Nothing here is copied from a corpus."""

ONSETS = "b c d f g h j k l m n p r s t v w z br cr dr gr kl pr st tr sh th ch fl qu y".split()
VOWELS = "a e i o u ai ea io ou ee a e i o u".split()
CODAS = "n r l s m k t x nd ck rt".split()

NAMES = """
Ada Adam Aisha Alan Alba Alex Ali Alice Alma Amir Amy Ana Anders Andre Angela Anja Anna Anton Ariel
Arjun Arthur Asa Astrid Ava Axel Bahar Bart Bea Ben Benno Bianca Bill Bob Boris Brenda Bruno Cara
Carla Carlos Carmen Caro Cem Chad Charlie Chen Chloe Chris Clara Claire Cole Cora Cyrus Dana Daniel
Dario David Dawn Deniz Diana Diego Dina Dora Dylan Ed Edith Ela Elena Eli Elias Ellen Elsa Emil Emma
Enzo Erik Erin Esra Eva Fatima Felix Fiona Flora Frank Freya Gabriel Gail Gary George Gina Gloria
Grace Guido Hal Hamid Hana Hannah Harry Hector Helen Henry Hilda Hiro Holly Hugo Ian Ibrahim Ida Igor
Imani Ines Ira Irene Iris Isaac Ivan Jack Jade Jakob James Jan Jane Jasmin Jean Jess Jim Joan Joe
John Jonas Jose Josh Juan Judy Julia June Kai Kamal Karen Karim Karl Kate Keiko Ken Kim Kira Klaus
Kurt Lara Lars Laura Lea Lee Leila Leo Liam Lila Lily Lin Linda Lisa Liv Lola Lorenzo Lou Lucas Lucia
Luis Luka Luna Lydia Mae Magda Maja Malik Marc Maria Marie Mario Mark Marta Martin Mary Matt Max Maya
Mehmet Mei Mel Mia Mika Mike Mila Milo Mina Mira Mohammed Mona Nadia Nana Nanda Nate Nell Nick Nico
Nina Noah Nora Odin Olga Oliver Olivia Omar Oscar Otis Otto Owen Pablo Pam Paul Paula Pedro Peter
Petra Phil Pia Pierre Quinn Ralph Rania Rashid Ravi Raya Rex Rita Rob Robin Rosa Rose Ruben Ruby Ruth
Sally Sam Samir Sara Sasha Sean Selma Seth Shan Silas Simon Sofia Sonja Stan Stella Steve Sue Sven
Tamar Tara Ted Teo Tessa Theo Thomas Tim Tina Toby Tom Tony Tova Uma Una Ursula Valentin Vera Vic
Viola Wanda Wei Will Xavier Yara Yasmin Yusuf Yves Zach Zara Zoe
""".split()

ROLES = """
baker barber bookkeeper builder butcher caterer charity chef coach consultant contractor courier
dentist designer doctor driver editor electrician farmer florist freelancer gardener grocer guide
hotel illustrator janitor jeweller joiner landlord lawyer library mechanic midwife milkman notary
nurse office painter photographer pilot plumber postman printer programmer roofer school secretary
seller shop singer supplier tailor taxi teacher tenant tiler trainer translator tutor vendor vet
waiter watchman welder worker writer
""".split()

COMPANIES = """
Labs Ltd Inc GmbH Group Partners Systems Energy Media Foods Motors Logistics Studio Works Brothers
Books Data Cloud Insurance Bank Hosting Supplies Services Design Telecom Travel Garden Records
""".split()

UNITS = ["USDC"] * 12 + ["", "", "", "USD", "dollars", "$", "EUR", "euros", "tUSD", "coins", "bucks", "usdc"]
ENDINGS = "example example example com net org io dev co.uk info app".split()
EXTENSIONS = "txt txt txt md md csv json log toml yaml html pdf mp3 mp4 png jpg py rs".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday today tomorrow tonight".split()
MONTHS = "January February March April May June July August September October November December".split()
LANGUAGES = """
English French German Spanish Italian Dutch Danish Polish Greek Turkish Arabic Hindi Chinese Japanese
Korean Russian Czech Swedish Hungarian Latin Swahili Thai Hebrew Romanian Catalan
""".split()
CITIES = """
Paris London Berlin Madrid Rome Vienna Lisbon Dublin Athens Cairo Tokyo Osaka Delhi Mumbai Boston
Chicago Denver Dallas Miami Toronto Sydney Perth Lima Bogota Quebec Geneva Prague Warsaw Helsinki
Stockholm Bergen Hamburg Munich Milan Naples Seville Nairobi Accra Dakar Tunis Beirut Kyoto Seoul
Hanoi Manila Jakarta Singapore Zurich Brussels Riga Kyiv Horta Flores Angra Brest
""".split()

NOUNS = """
account address age air alarm album ant apple archive arm army art article attic author autumn bag
ball band bank bar barn basket bath battery beach bean bear bed bee beer bell bench bicycle bike bird
blog board boat body boiler book boot border boss bottle bowl box boy branch brand bread bridge
broom brother brush bucket bug bus butter button cabin cable cake calendar camera camp candle car
card carpet cart case castle cat cave cellar chain chair chart cheese chess child church cinema
circle circus city class clay client cliff clock cloth cloud club coach coal coast coat code coffee
coin colour comet company concert contract cook copy cork corn corner cottage cotton couch council
country course court cow crane cream crew crop crow cup current curtain customer dam dance data date
daughter dawn day deal deck deer depot desert design desk detail diary dinner dish dog dog door
dragon draft drawer dream dress drill drink drum duck dust eagle ear earth east echo edge editor egg
elbow engine error estate evening event exam eye face factory fair fall family fan farm fashion
father feather feed fence ferry festival fever field figure film filter fire firm fish flag flame
flat fleet flight floor flour flower flute fog folder food foot forest fork form fort forum fountain
fox frame friend frog front frost fruit fuel game garage garden gate gift girl glass glove goal goat
gold golf goose grain grape grass grid group guard guest guide guitar gulf gun hair hall hammer hand
harbour harvest hat hawk hay head heart heat hedge helmet herb hill history hobby hole home honey
hook hope horn horse hospital hotel hour house hut ice idea image index ink insect invoice iron
island item ivory jacket jam jar jazz jet jewel job joke journey judge juice jungle jury kettle key
king kitchen kite knife knot label ladder lake lamb lamp lane language lantern law lawn layer leaf
leather ledger lemon lens lesson letter level library licence light line lion list lock log logo loop
lorry lunch machine magazine magnet mail manual map maple marble market mask mat match meadow meal
meat medal meeting melon member memory menu message metal meter milk mill mind mine minute mirror
mist model money monkey month moon morning mother motor mountain mouse mouth movie mud museum music
nail nation neck needle nest net network news night node noise north nose note novel number nurse
nut oak oar oats ocean office oil olive onion opera orange orbit orchard order organ oven owl ox
package paddle page paint palace pan panel paper parade parcel park parrot party path pattern peach
pear pen pencil pepper photo piano picnic picture pie pig pilot pin pine pipe pixel place plan plane
planet plant plate platform play plum pocket poem poet pond pony pool port post poster pot potato
powder price prince prize project pump puppet purse puzzle quarry queen queue quilt rabbit race radar
radio raft rail rain ranch recipe record reef registry relay rent report review rice ring river road
robot rock roof room root rope rose route row rug rule sail salad salt sample sand sauce saw scale
scene school science score scout screen sea season seat secret seed sensor server shadow shelf shell
shield ship shirt shoe shop shore show sign signal silk silver singer sister site skin sky sleeve
smoke snail snake snow soap sock soil song sort soup south space spark speech spice spider spoon
spring square stable stage stair stamp star state station statue steam steel stock stone store storm
story stove straw stream street student studio study sugar suit summer sun supper survey swan switch
table tail tale tank tap tape target task tax tea teacher team tent test text theatre thread throat
thumb ticket tide tiger tile time tin toast tomato tool tooth topic tower town toy track trade train
tree trial tribe trick trip truck trunk tunnel turtle uncle union unit valley van vase vault video
village vine violin visit visitor voice wage wagon wall war water wave wax weather web week well west
whale wheat wheel whistle wife wind window wine wing winter wire wolf wood wool word work worker
world yacht yard year yoga zebra zone
""".split()

ADJECTIVES = """
new old big small long short red blue green white black yellow grey brown open closed late early
fast slow hot cold warm cool dry wet full empty clean dirty heavy light dark bright loud quiet soft
hard high low deep wide narrow good bad best worst cheap dear rich poor safe strong weak young fresh
sweet sour bitter sharp round flat broken ready busy free wrong right local public private main final
first last next spare daily weekly monthly annual official secret special simple modern ancient
wooden golden happy sad angry tired lovely strange famous foreign
""".split()

STATES = "is is is are was were has needs likes wants means costs lives keeps uses starts ends".split()
ACTS = """
bought built carried caught changed chose cleaned closed cooked counted crossed dropped fed filled
fixed forgot found gave grew heard held hid kept knew left lost made met moved opened painted picked
planted played put ran read rode saw sang sold sent shut slept sold spoke stole stopped taught took
told tore visited walked washed watched wore won wrote
""".split()

WORK = """
adapt analyse annotate archive assemble audit backtest benchmark build caption categorise check clean
clip code collect colour compare compile compose compress compute convert copy correct count crawl
crop curate debug decode describe design digest digitise document draft draw edit embed encode
enhance estimate evaluate examine explain extract fill filter find fix forecast format generate
grade group index inspect label list map match measure merge mix model monitor number optimise
organise outline paint parse plan plot polish predict prepare process proofread prove rank rate
rearrange record reformat render repair rephrase research restore retrain review revise rewrite
sample scan score scrape search segment shorten simplify simulate sketch solve sort split study
subtitle summarise summarize tag test tidy trace train transcode transcribe transform translate trim
tune type update validate verify visualise watch weigh write
""".split()

WORK_NOUNS = """
accounting analysis animation annotation archiving auditing backtesting bookkeeping captioning
classification coaching coding composing consulting copywriting cooking data-cleaning debugging
design drawing editing embedding engineering fact-checking forecasting illustration indexing
inference labelling marketing mathematics modelling mapping monitoring music nutrition painting
painting parsing photography planning plumbing poetry pricing programming proofs ranking rendering
research reviewing routing scheduling scraping search simulation sorting statistics storage
subtitles summaries summarisation tagging teaching testing trading training transcription
translation tutoring typing valuation video weather writing
""".split()

# Words that glue sentences together, and everything above that is one word.
GLUE = """
the a an and or but of to in on at for from with by about as is are was be it this that these those
my our your their his her its we they he she you I not no yes so very too just also only then now
here there when where what who why how all any some each both few more most much many other such same
than if because while until after before over under again once up down out off through between into
will would can could should may might must do does did have has had been being get got make made go
went come came take took see saw know knew think thought say said tell told ask asked let put keep
kept give gave find found use used want need feel seem try leave call turn start stop show play run
move live believe bring happen write sit stand lose pay meet include continue set learn change lead
understand watch follow create speak read allow add spend grow open walk win offer remember love
consider appear buy wait serve die send expect build stay fall cut reach kill remain still really
already never always often sometimes soon maybe perhaps please thanks well
""".split()

MARKED = """café naïve Zürich São señor façade coöp 東京 привет Łódź θ 5€ 10% a/b e-mail C++ don't it's
#7 (ok) "so" [x] {y} x=1 50:50 v2.1 A&B *note* ~10 half-way well-known №3 🙂 → Straße
""".split()

EVERY = sorted(set(NOUNS + ADJECTIVES + GLUE + WORK + ACTS + ROLES))
