//! The words of the embedded world: people, things by class, events with places and outcomes, animals, tools.
//!
//! Every table here is a *rule*: an answer follows from the row and the column of its cell, never from one word
//! alone. No word is rare: each occurs in hundreds of documents.

/// People with their pronoun.
pub const PEOPLE: [(&str, &str); 24] = [
    ("Anna", "she"),
    ("Ben", "he"),
    ("Clara", "she"),
    ("David", "he"),
    ("Emma", "she"),
    ("Frank", "he"),
    ("Grace", "she"),
    ("Henry", "he"),
    ("Iris", "she"),
    ("Jack", "he"),
    ("Kate", "she"),
    ("Leo", "he"),
    ("Mary", "she"),
    ("Noah", "he"),
    ("Olga", "she"),
    ("Paul", "he"),
    ("Rose", "she"),
    ("Sam", "he"),
    ("Tina", "she"),
    ("Victor", "he"),
    ("Wendy", "she"),
    ("Max", "he"),
    ("Lucy", "she"),
    ("Oscar", "he"),
];

/// Classes of things: what they are made of decides what becomes of them.
pub const NUM_CLASSES: usize = 8;

/// Material of each class.
pub const MATERIALS: [&str; NUM_CLASSES] =
    ["glass", "rubber", "wood", "iron", "wool", "wax", "paper", "stone"];

/// A property that all things of the class share.
pub const PROPERTIES: [&str; NUM_CLASSES] =
    ["fragile", "springy", "light", "strong", "soft", "smooth", "thin", "solid"];

/// Things by class, in the order of [`MATERIALS`].
pub const THINGS: [[&str; 7]; NUM_CLASSES] = [
    ["jar", "vase", "mirror", "bottle", "bulb", "goblet", "lens"],
    ["ball", "tire", "boot", "eraser", "hose", "mat", "glove"],
    ["log", "plank", "stool", "crate", "bat", "oar", "cane"],
    ["nail", "key", "anchor", "chain", "hinge", "bolt", "bell"],
    ["shirt", "scarf", "towel", "sock", "blanket", "curtain", "pillow"],
    ["candle", "crayon", "seal", "taper", "lipstick", "figurine", "honeycomb"],
    ["letter", "map", "poster", "card", "ticket", "book", "envelope"],
    ["rock", "brick", "pebble", "statue", "tile", "marble", "slab"],
];

/// A verb phrase in the forms that the templates need.
pub struct Phrase {
    /// As in "did the jar *break*", "things made of glass *break*".
    pub base: &'static str,
    /// As in "it *breaks*".
    pub third: &'static str,
    /// As in "it *broke*".
    pub past: &'static str,
}

const fn phrase(base: &'static str, third: &'static str, past: &'static str) -> Phrase {
    Phrase { base, third, past }
}

/// What may become of a thing.
pub const OUTCOMES: [Phrase; 29] = [
    phrase("break", "breaks", "broke"),                     // 0
    phrase("bounce", "bounces", "bounced"),                 // 1
    phrase("crack", "cracks", "cracked"),                   // 2
    phrase("clang", "clangs", "clanged"),                   // 3
    phrase("land softly", "lands softly", "landed softly"), // 4
    phrase("get a dent", "gets a dent", "got a dent"),      // 5
    phrase("flutter", "flutters", "fluttered"),             // 6
    phrase("thud", "thuds", "thudded"),                     // 7
    phrase("fill up", "fills up", "filled up"),             // 8
    phrase("float", "floats", "floated"),                   // 9
    phrase("sink", "sinks", "sank"),                        // 10
    phrase("get soaked", "gets soaked", "got soaked"),      // 11
    phrase("fall apart", "falls apart", "fell apart"),      // 12
    phrase("shine", "shines", "shone"),                     // 13
    phrase("get sticky", "gets sticky", "got sticky"),      // 14
    phrase("dry out", "dries out", "dried out"),            // 15
    phrase("get hot", "gets hot", "got hot"),               // 16
    phrase("fade", "fades", "faded"),                       // 17
    phrase("melt", "melts", "melted"),                      // 18
    phrase("turn yellow", "turns yellow", "turned yellow"), // 19
    phrase("shatter", "shatters", "shattered"),             // 20
    phrase("smoke", "smokes", "smoked"),                    // 21
    phrase("burn", "burns", "burned"),                      // 22
    phrase("glow", "glows", "glowed"),                      // 23
    phrase("turn black", "turns black", "turned black"),    // 24
    phrase("tip over", "tips over", "tipped over"),         // 25
    phrase("roll away", "rolls away", "rolled away"),       // 26
    phrase("flap", "flaps", "flapped"),                     // 27
    phrase("stay put", "stays put", "stayed put"),          // 28
];

/// Index of "fly away", kept apart because only paper does so in a storm.
pub const FLY_AWAY: Phrase = phrase("fly away", "flies away", "flew away");

/// Something that happens to a thing at a place.
pub struct Event {
    /// Name, and title of passages about it.
    pub name: &'static str,
    /// Where it happens; no place belongs to two events.
    pub places: [&'static str; 6],
    /// As in "when it *falls on the {p}*".
    pub third: &'static str,
    /// As in "the jar *fell on the {p}*".
    pub past: &'static str,
    /// As in "Anna *dropped the {t} on the {p}*".
    pub active: &'static str,
    /// As in "things made of glass break when they *fall on a hard place*".
    pub general: &'static str,
    /// Outcome of each class: index into [`OUTCOMES`], or its length for [`FLY_AWAY`].
    pub outcomes: [usize; NUM_CLASSES],
}

/// The events; with the classes they make the table from which physical answers follow.
pub const EVENTS: [Event; 5] = [
    Event {
        name: "Falling",
        places: ["floor", "road", "pavement", "stairs", "bridge", "deck"],
        third: "falls on the {p}",
        past: "fell on the {p}",
        active: "dropped the {t} on the {p}",
        general: "fall on a hard place",
        outcomes: [0, 1, 2, 3, 4, 5, 6, 7],
    },
    Event {
        name: "Water",
        places: ["pond", "lake", "river", "well", "harbor", "stream"],
        third: "lands in the {p}",
        past: "landed in the {p}",
        active: "threw the {t} into the {p}",
        general: "land in deep water",
        outcomes: [8, 9, 9, 10, 11, 9, 12, 10],
    },
    Event {
        name: "Sunshine",
        places: ["porch", "roof", "beach", "terrace", "patio", "lawn"],
        third: "lies in the sun on the {p}",
        past: "lay in the sun on the {p}",
        active: "left the {t} in the sun on the {p}",
        general: "lie in the sun",
        outcomes: [13, 14, 15, 16, 17, 18, 19, 16],
    },
    Event {
        name: "Fire",
        places: ["stove", "furnace", "campfire", "fireplace", "bonfire", "oven"],
        third: "goes into the {p}",
        past: "went into the {p}",
        active: "put the {t} into the {p}",
        general: "go into a fire",
        outcomes: [20, 21, 22, 23, 22, 18, 22, 24],
    },
    Event {
        name: "Storm",
        places: ["hill", "cliff", "tower", "ridge", "pier", "balcony"],
        third: "stands in a storm on the {p}",
        past: "stood in a storm on the {p}",
        active: "left the {t} in a storm on the {p}",
        general: "stand in a storm",
        outcomes: [25, 26, 26, 28, 27, 25, 29, 28],
    },
];

/// The outcome with index `index` of an [`Event`].
pub fn outcome(index: usize) -> &'static Phrase {
    OUTCOMES.get(index).unwrap_or(&FLY_AWAY)
}

/// Kinds of animals: hunters, small animals, farm animals.
pub const ANIMALS: [[&str; 6]; 3] = [
    ["cat", "fox", "wolf", "owl", "hawk", "snake"],
    ["mouse", "rabbit", "chick", "duckling", "frog", "beetle"],
    ["cow", "sheep", "goat", "horse", "donkey", "pony"],
];

/// How each kind of animals is called.
pub const ANIMAL_KINDS: [&str; 3] = ["hunter", "small animal", "farm animal"];

/// Foods: plants, meats.
pub const FOODS: [[&str; 6]; 2] = [
    ["hay", "grass", "clover", "cabbage", "lettuce", "barley"],
    ["meat", "ham", "sausage", "bacon", "liver", "steak"],
];

/// What each kind of animals (row) does when it meets a hunter, a small animal, a farm animal, a plant, meat.
pub const RESPONSES: [[usize; 5]; 3] = [[0, 1, 2, 3, 4], [5, 6, 7, 4, 3], [8, 2, 7, 4, 3]];

/// The responses of [`RESPONSES`].
pub const RESPONSE_PHRASES: [Phrase; 9] = [
    phrase("growl", "growls", "growled"),
    phrase("start a chase", "starts a chase", "started a chase"),
    phrase("keep still", "keeps still", "kept still"),
    phrase("walk on", "walks on", "walked on"),
    phrase("eat", "eats", "ate"),
    phrase("hide", "hides", "hid"),
    phrase("play", "plays", "played"),
    phrase("say hello", "says hello", "said hello"),
    phrase("run away", "runs away", "ran away"),
];

/// Verbs of work with their forms: base, third person, -ing, past.
pub const WORK: [[&str; 4]; 7] = [
    ["cut", "cuts", "cutting", "cut"],
    ["carry", "carries", "carrying", "carried"],
    ["clean", "cleans", "cleaning", "cleaned"],
    ["measure", "measures", "measuring", "measured"],
    ["heat", "heats", "heating", "heated"],
    ["lift", "lifts", "lifting", "lifted"],
    ["store", "stores", "storing", "stored"],
];

/// What is worked on, by class: timber, clothes, food, liquids, powders.
pub const STUFF: [[&str; 9]; 5] = [
    ["board", "beam", "branch", "rail", "pole", "fence", "gate", "mast", "stump"],
    ["dress", "coat", "sheet", "quilt", "apron", "flag", "skirt", "jacket", "sweater"],
    ["bread", "cheese", "carrot", "onion", "melon", "potato", "turnip", "pear", "fish"],
    ["water", "milk", "juice", "soup", "oil", "tea", "cider", "broth", "ink"],
    ["sand", "flour", "salt", "rice", "sugar", "gravel", "cement", "pepper", "soil"],
];

/// The classes of [`STUFF`] by name.
pub const STUFF_KINDS: [&str; 5] = ["timber", "cloth", "food", "liquid", "powder"];

/// The tool for each verb (row) and class of stuff (column); empty: nobody does that.
pub const TOOLS: [[&str; 5]; 7] = [
    ["saw", "scissors", "knife", "", ""],
    ["cart", "suitcase", "basket", "bucket", "sack"],
    ["brush", "soap", "sponge", "filter", "sieve"],
    ["ruler", "tape", "scale", "jug", "spoon"],
    ["torch", "press", "pan", "kettle", ""],
    ["crane", "hook", "fork", "ladle", "shovel"],
    ["shed", "wardrobe", "pantry", "barrel", "bin"],
];

/// Household objects: scripts, goals, colours and gifts are about them.
pub const OBJECTS: [&str; 32] = [
    "kite", "drum", "doll", "lamp", "rug", "clock", "wagon", "violin", "robot", "teddy", "saddle", "helmet",
    "cushion", "carpet", "basin", "tray", "teapot", "trumpet", "puppet", "globe", "chair", "cape", "mask",
    "cradle", "wreath", "lantern", "ladder", "bench", "flute", "camera", "backpack", "puzzle",
];

/// Colours of household objects.
pub const COLOURS: [&str; 8] = ["red", "blue", "green", "yellow", "brown", "white", "black", "purple"];

/// What household objects are put into.
pub const CONTAINERS: [&str; 8] = ["box", "drawer", "case", "bag", "cupboard", "locker", "closet", "chest"];

/// What people want with a household object, and ways that reach it; two verbs in a row are opposites.
pub const GOALS: [(&str, [&str; 4]); 10] = [
    (
        "warm",
        [
            "Put it near the heater.",
            "Hold it over hot steam.",
            "Wrap it in a hot cloth.",
            "Leave it in the sunshine.",
        ],
    ),
    ("cool", ["Put it in the shade.", "Roll it in snow.", "Blow cold air on it.", "Leave it in the cellar."]),
    (
        "dry",
        ["Wipe it with a rag.", "Hang it on a line.", "Shake the drops off it.", "Leave it in the wind."],
    ),
    (
        "soak",
        [
            "Hold it under the tap.",
            "Dip it in the tub.",
            "Leave it in the rain.",
            "Pour a pail of water over it.",
        ],
    ),
    (
        "hide",
        [
            "Push it under the bed.",
            "Lay a sheet over it.",
            "Lock it in a dark room.",
            "Keep it in a secret place.",
        ],
    ),
    (
        "show",
        [
            "Set it in the window.",
            "Hold it up for all to see.",
            "Pass it around the class.",
            "Put a bright light on it.",
        ],
    ),
    (
        "raise",
        [
            "Pull it up with a rope.",
            "Put a block under it.",
            "Set it on a high shelf.",
            "Hang it from the ceiling.",
        ],
    ),
    (
        "lower",
        [
            "Let it down slowly.",
            "Bring it down from the shelf.",
            "Set it on the ground.",
            "Take the block from under it.",
        ],
    ),
    (
        "mend",
        [
            "Glue the parts together.",
            "Put a new screw in it.",
            "Sew up the hole in it.",
            "Straighten the bent part.",
        ],
    ),
    (
        "smash",
        [
            "Hit it with a hammer.",
            "Jump on it with both feet.",
            "Throw it at the wall.",
            "Drive a truck over it.",
        ],
    ),
];

/// What is taken somewhere: runny stuff first, bulky stuff second.
pub const LOADS: [[&str; 12]; 2] = [
    ["water", "milk", "juice", "soup", "oil", "tea", "cider", "sand", "flour", "salt", "rice", "sugar"],
    [
        "hay",
        "straw",
        "grass",
        "wool",
        "moss",
        "firewood",
        "corn",
        "bark",
        "ivy",
        "seaweed",
        "clover",
        "brushwood",
    ],
];

/// Ways to take runny and bulky stuff along.
pub const LOAD_METHODS: [[&str; 4]; 2] = [
    ["Pour it into a pail.", "Fill a flask with it.", "Pour it into a pot.", "Put it in a can with a lid."],
    ["Tie it up with a rope.", "Lift it with a pitchfork.", "Gather it in a net.", "Pile it on a sledge."],
];

/// Where stuff is taken.
pub const DESTINATIONS: [&str; 10] =
    ["barn", "kitchen", "camp", "mill", "dock", "school", "castle", "market", "cabin", "tent"];

/// A course of action with an object: label, word by which it is known, purpose, steps in order.
pub struct Script {
    /// Label of the activity.
    pub label: &'static str,
    /// As in "wanted to *wash* the kite".
    pub verb: &'static str,
    /// The steps; the first names the object.
    pub steps: [&'static str; 5],
}

/// The scripts; with the objects they make the stories.
pub const SCRIPTS: [Script; 10] = [
    Script {
        label: "Washing",
        verb: "wash",
        steps: [
            "takes the dirty {o}",
            "fills a tub with water",
            "rubs it with soap",
            "rinses off the foam",
            "hangs it in the sun",
        ],
    },
    Script {
        label: "Painting",
        verb: "paint",
        steps: [
            "carries the old {o} outside",
            "opens a can of paint",
            "dips a brush in the can",
            "covers it with fresh color",
            "hangs up a sign that says wet",
        ],
    },
    Script {
        label: "Wrapping",
        verb: "wrap",
        steps: [
            "buys the new {o}",
            "sets it in a small carton",
            "rolls the carton in shiny paper",
            "ties a ribbon on top",
            "gives it to a friend",
        ],
    },
    Script {
        label: "Fixing",
        verb: "fix",
        steps: [
            "looks at the broken {o}",
            "takes out the loose part",
            "puts glue on the part",
            "presses the part in place",
            "waits until the glue is hard",
        ],
    },
    Script {
        label: "Mailing",
        verb: "mail",
        steps: [
            "takes the {o} to the desk",
            "writes the address on a label",
            "puts a stamp on it",
            "walks to the post office",
            "hands it to the clerk",
        ],
    },
    Script {
        label: "Selling",
        verb: "sell",
        steps: [
            "brings the {o} to the fair",
            "names a price",
            "shakes hands with the buyer",
            "counts the money",
            "walks home without it",
        ],
    },
    Script {
        label: "Burying",
        verb: "bury",
        steps: [
            "takes the {o} to the garden",
            "digs a deep hole",
            "drops it into the hole",
            "covers it with dirt",
            "marks the spot with a stick",
        ],
    },
    Script {
        label: "Drawing",
        verb: "draw",
        steps: [
            "looks at the {o} for a while",
            "sharpens a pencil",
            "sketches its shape",
            "colors the sketch",
            "signs the sketch with a name",
        ],
    },
    Script {
        label: "Finding",
        verb: "find",
        steps: [
            "cannot see the {o}",
            "looks under the bed",
            "asks the neighbors",
            "spots it behind the door",
            "laughs and picks it up",
        ],
    },
    Script {
        label: "Packing",
        verb: "pack",
        steps: [
            "picks up the {o}",
            "climbs to the attic",
            "opens the old trunk",
            "lays it inside",
            "closes the lid",
        ],
    },
];

/// A comparison of two people and what follows for the one who is more and the one who is less so.
pub const COMPARISONS: [(&str, &str, &str); 9] = [
    ("stronger", "lifted the heavy sack", "could not lift the sack"),
    ("faster", "won the race", "came last in the race"),
    ("taller", "reached the high shelf", "needed help with the shelf"),
    ("richer", "paid for the lunch", "borrowed some coins"),
    ("braver", "went into the dark cave", "waited outside the cave"),
    ("hungrier", "ate the big cake", "ate only a crumb"),
    ("sleepier", "went to bed early", "stayed up late"),
    ("smarter", "solved the riddle", "gave up on the riddle"),
    ("kinder", "shared the candy", "kept all the candy"),
];
