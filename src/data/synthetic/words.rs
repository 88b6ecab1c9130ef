//! The words of the synthetic corpus. What follows from what is drawn from the seed; no list says it.
use super::invented::Inventor;
use super::size::{ENTITIES_PER_KIND, num_activities, num_goals, num_kinds, num_places};
use crate::spec::SyntheticSize;

/// People with their pronoun.
pub(super) const PEOPLE: [(&str, &str); 24] = [
    ("Alice", "she"),
    ("Ben", "he"),
    ("Carl", "he"),
    ("Dora", "she"),
    ("Eric", "he"),
    ("Fiona", "she"),
    ("Gina", "she"),
    ("Hugo", "he"),
    ("Ida", "she"),
    ("John", "he"),
    ("Karen", "she"),
    ("Luke", "he"),
    ("Mia", "she"),
    ("Nick", "he"),
    ("Otto", "he"),
    ("Paula", "she"),
    ("Ralph", "he"),
    ("Sara", "she"),
    ("Tom", "he"),
    ("Uma", "she"),
    ("Vera", "she"),
    ("Will", "he"),
    ("Yara", "she"),
    ("Zack", "he"),
];

/// Kinds (in the plural) with their entities.
const KINDS: [(&str, [&str; ENTITIES_PER_KIND]); 16] = [
    ("birds", ["owl", "crow", "hawk", "swan", "duck", "gull", "robin", "stork"]),
    ("insects", ["fly", "bee", "ant", "moth", "wasp", "beetle", "cricket", "flea"]),
    ("fishes", ["cod", "trout", "eel", "carp", "shark", "tuna", "pike", "salmon"]),
    ("reptiles", ["snake", "lizard", "turtle", "gecko", "viper", "python", "cobra", "iguana"]),
    ("beasts", ["dog", "cat", "horse", "cow", "sheep", "goat", "pig", "rabbit"]),
    ("trees", ["oak", "pine", "elm", "birch", "maple", "cedar", "willow", "palm"]),
    ("flowers", ["rose", "tulip", "daisy", "lily", "poppy", "orchid", "lotus", "pansy"]),
    ("fruits", ["apple", "pear", "plum", "lemon", "grape", "peach", "cherry", "melon"]),
    ("roots", ["carrot", "onion", "beet", "radish", "turnip", "leek", "potato", "garlic"]),
    ("vehicles", ["car", "bus", "train", "boat", "truck", "bike", "tram", "ship"]),
    ("instruments", ["drum", "flute", "harp", "violin", "piano", "guitar", "trumpet", "banjo"]),
    ("garments", ["shirt", "coat", "hat", "scarf", "sock", "glove", "skirt", "belt"]),
    ("vessels", ["cup", "bowl", "jug", "vase", "pot", "jar", "bottle", "bucket"]),
    ("furnishings", ["chair", "table", "bed", "sofa", "desk", "bench", "shelf", "stool"]),
    ("gems", ["ruby", "pearl", "opal", "jade", "amber", "quartz", "topaz", "diamond"]),
    ("dishes", ["bread", "cake", "pie", "soup", "stew", "pizza", "pasta", "salad"]),
];

/// A verb as in "does it *look*" and "it *looks*".
#[derive(Clone, Copy)]
pub(super) struct Verb {
    pub base: &'static str,
    pub third: &'static str,
}

const fn verb(base: &'static str, third: &'static str) -> Verb {
    Verb { base, third }
}

/// Attributes of entities: as many as `facts` can be.
pub(super) const ATTRIBUTES: [Verb; 12] = [
    verb("look", "looks"),
    verb("feel", "feels"),
    verb("taste", "tastes"),
    verb("sound", "sounds"),
    verb("smell", "smells"),
    verb("seem", "seems"),
    verb("stay", "stays"),
    verb("grow", "grows"),
    verb("appear", "appears"),
    verb("remain", "remains"),
    verb("become", "becomes"),
    verb("turn", "turns"),
];

/// Values of one attribute, or of one trait.
pub(super) const NUM_VALUES: usize = 16;

/// Values of the first five attributes.
const ADJECTIVES: [[&str; NUM_VALUES]; 5] = [
    [
        "red", "blue", "green", "yellow", "brown", "black", "white", "grey", "pink", "purple", "golden",
        "silver", "beige", "scarlet", "striped", "spotted",
    ],
    [
        "soft", "hard", "rough", "smooth", "warm", "cold", "wet", "dry", "sticky", "greasy", "silky",
        "dusty", "bumpy", "sharp", "fuzzy", "brittle",
    ],
    [
        "sweet", "sour", "bitter", "salty", "spicy", "bland", "rich", "fresh", "stale", "sugary", "nutty",
        "fruity", "tangy", "creamy", "peppery", "buttery",
    ],
    [
        "loud", "quiet", "shrill", "deep", "hoarse", "clear", "hollow", "dull", "harsh", "gentle", "noisy",
        "muffled", "tinny", "faint", "shaky", "cheerful",
    ],
    [
        "musty", "foul", "fragrant", "rotten", "flowery", "earthy", "minty", "moldy", "fishy", "burnt",
        "grassy", "pungent", "piney", "soapy", "rusty", "smoky",
    ],
];

/// Traits that follow from the kind.
pub(super) const TRAITS: [Verb; 4] =
    [verb("hate", "hates"), verb("need", "needs"), verb("fear", "fears"), verb("like", "likes")];

/// Values of each trait.
pub(super) const TRAIT_VALUES: [[&str; NUM_VALUES]; 4] = [
    [
        "noise", "smoke", "rain", "frost", "dust", "mud", "snow", "wind", "fog", "hail", "glare", "rust",
        "mold", "soot", "damp", "drizzle",
    ],
    [
        "water", "light", "shade", "heat", "care", "rest", "space", "food", "air", "sleep", "love", "time",
        "help", "peace", "praise", "warmth",
    ],
    [
        "fire",
        "ice",
        "darkness",
        "lightning",
        "death",
        "crowds",
        "ghosts",
        "heights",
        "war",
        "hunger",
        "thieves",
        "storms",
        "floods",
        "illness",
        "needles",
        "wolves",
    ],
    [
        "music", "games", "poems", "jokes", "parties", "stories", "puzzles", "candles", "sports", "songs",
        "movies", "riddles", "toys", "picnics", "gossip", "tricks",
    ],
];

const PLACES: [&str; 24] = [
    "attic", "barn", "cellar", "garden", "kitchen", "forest", "desert", "valley", "harbor", "tunnel",
    "castle", "market", "museum", "office", "park", "hall", "tower", "cave", "school", "temple", "stable",
    "tent", "library", "chapel",
];

/// What may or may not be done at a place.
pub(super) const DEEDS: [&str; 40] = [
    "swim", "dance", "shout", "run", "cook", "read", "write", "whistle", "kneel", "pray", "nap", "jog",
    "cry", "laugh", "eat", "drink", "knit", "draw", "argue", "skate", "hide", "juggle", "wrestle", "yawn",
    "vote", "camp", "sew", "dig", "sneeze", "beg", "trade", "study", "teach", "preach", "march", "fight",
    "gamble", "stretch", "whisper", "type",
];

const ACTIVITIES: [&str; 40] = [
    "Baking", "Packing", "Hiking", "Hunting", "Touring", "Playing", "Shopping", "Dusting", "Sorting",
    "Racing", "Acting", "Filming", "Rowing", "Sailing", "Skiing", "Surfing", "Boxing", "Fencing", "Golfing",
    "Bowling", "Weaving", "Carving", "Planting", "Plumbing", "Roofing", "Mowing", "Raking", "Pruning",
    "Milling", "Mining", "Welding", "Printing", "Binding", "Drumming", "Nursing", "Tutoring", "Building",
    "Fishing", "Banking", "Mailing",
];

/// What is done in an activity.
pub(super) const STEPS: [&str; 40] = [
    "lifts", "washes", "folds", "kicks", "hides", "throws", "counts", "carries", "drops", "licks", "wraps",
    "moves", "pushes", "pulls", "finds", "loses", "sells", "buys", "opens", "shuts", "breaks", "mends",
    "cleans", "weighs", "stacks", "hangs", "shakes", "holds", "tests", "paints", "marks", "ties", "burns",
    "rinses", "brushes", "copies", "guards", "chases", "feeds", "hugs",
];

/// What is done with a tool, and the tools for it.
pub(super) const WORK: [(&str, [&str; 5]); 8] = [
    ("cut", ["knife", "scissors", "blade", "cleaver", "razor"]),
    ("cleaned", ["sponge", "broom", "mop", "rag", "hose"]),
    ("measured", ["ruler", "scale", "tape", "gauge", "compass"]),
    ("heated", ["oven", "stove", "kettle", "torch", "grill"]),
    ("moved", ["cart", "sled", "crane", "trolley", "wagon"]),
    ("fixed", ["hammer", "wrench", "pliers", "drill", "clamp"]),
    ("opened", ["key", "lever", "crowbar", "axe", "chisel"]),
    ("marked", ["pen", "pencil", "crayon", "stamp", "marker"]),
];

const GOALS: [&str; 36] = [
    "wax",
    "polish",
    "dye",
    "soften",
    "cool",
    "scrub",
    "seal",
    "bleach",
    "starch",
    "varnish",
    "glaze",
    "cure",
    "pickle",
    "steam",
    "soak",
    "harden",
    "sweeten",
    "thicken",
    "brighten",
    "sharpen",
    "flatten",
    "lighten",
    "darken",
    "loosen",
    "tighten",
    "fasten",
    "insulate",
    "repair",
    "restore",
    "preserve",
    "decorate",
    "label",
    "freeze",
    "melt",
    "weaken",
    "strengthen",
];

pub(super) const MATERIALS: [&str; 24] = [
    "oil", "soap", "sand", "clay", "wool", "paint", "vinegar", "butter", "flour", "sugar", "honey", "milk",
    "wine", "resin", "paste", "foam", "lime", "plaster", "cotton", "straw", "paper", "lard", "ash", "tar",
];

pub(super) const MANNERS: [&str; 24] = [
    "rub", "dip", "roll", "press", "wipe", "stir", "knead", "pat", "spray", "squeeze", "twist", "tap",
    "scrape", "blot", "dab", "smear", "fan", "beat", "poke", "bend", "spin", "fold", "tilt", "drench",
];

pub(super) const ADVERBS: [&str; 16] = [
    "twice",
    "gently",
    "slowly",
    "quickly",
    "firmly",
    "daily",
    "evenly",
    "lightly",
    "briefly",
    "overnight",
    "outdoors",
    "carefully",
    "upwards",
    "once",
    "sideways",
    "backwards",
];

/// What entities do.
pub(super) const HABITS: [&str; 48] = [
    "hops", "hums", "spins", "glows", "sinks", "floats", "rolls", "sings", "sleeps", "waits", "limps",
    "blinks", "snores", "growls", "giggles", "trembles", "wobbles", "bounces", "crawls", "climbs", "leaps",
    "swings", "drifts", "melts", "rattles", "squeaks", "buzzes", "sparkles", "shivers", "stumbles",
    "vanishes", "listens", "stares", "nods", "winks", "bows", "faints", "grins", "smiles", "sobs", "snorts",
    "chirps", "howls", "pants", "dozes", "lingers", "wanders", "slips",
];

/// The words of one size; lists that grow are filled up with invented words.
pub(super) struct Words {
    pub kinds: Vec<String>,
    /// Entity e belongs to kind e / 8.
    pub entities: Vec<String>,
    /// By attribute.
    pub adjectives: Vec<Vec<String>>,
    pub places: Vec<String>,
    pub activities: Vec<String>,
    pub goals: Vec<String>,
}

impl Words {
    pub fn new(size: SyntheticSize) -> Self {
        let mut inventor = Inventor::new(all());
        let names: Vec<&str> = KINDS.iter().map(|kind| kind.0).collect();
        let nouns: Vec<&str> = KINDS.iter().flat_map(|kind| kind.1).collect();
        Words {
            kinds: inventor.extend(&names, num_kinds(size)),
            entities: inventor.extend(&nouns, size.entities),
            adjectives: (0..size.facts)
                .map(|attribute| {
                    let known = ADJECTIVES.get(attribute).map_or(&[][..], |list| &list[..]);
                    inventor.extend(known, NUM_VALUES)
                })
                .collect(),
            places: inventor.extend(&PLACES, num_places(size)),
            activities: {
                let names = inventor.extend(&ACTIVITIES, num_activities(size));
                names.iter().map(|name| capital(name)).collect()
            },
            goals: inventor.extend(&GOALS, num_goals(size)),
        }
    }
}

/// The text with its first letter in upper case.
fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Every word of the lists.
fn all() -> Vec<&'static str> {
    let mut words: Vec<&str> = PEOPLE.iter().map(|person| person.0).collect();
    words.extend(KINDS.iter().flat_map(|kind| kind.1.iter().chain([&kind.0])));
    words.extend(ATTRIBUTES.iter().chain(&TRAITS).flat_map(|verb| [verb.base, verb.third]));
    words.extend(ADJECTIVES.iter().chain(&TRAIT_VALUES).flatten());
    words.extend(WORK.iter().flat_map(|work| work.1.iter().chain([&work.0])));
    let lists: [&[&str]; 10] = [
        &PLACES,
        &DEEDS,
        &ACTIVITIES,
        &STEPS,
        &GOALS,
        &MATERIALS,
        &MANNERS,
        &ADVERBS,
        &HABITS,
        // Words of the sentences that an invented word could be.
        &["none", "done", "take", "some", "the", "and", "is", "are", "said", "yes", "no"],
    ];
    words.extend(lists.concat());
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_word_is_in_two_lists() {
        let mut seen = HashSet::new();
        let twice: Vec<&str> = all().into_iter().filter(|word| !seen.insert(*word)).collect();
        assert_eq!(twice, Vec::<&str>::new());
    }

    #[test]
    fn a_larger_size_keeps_the_words_and_adds_invented_ones() {
        let of = |entities, facts| Words::new(SyntheticSize { entities, facts, forms: 4 });
        let (small, large) = (of(128, 5), of(512, 8));
        assert_eq!(small.entities[..], large.entities[..128]);
        assert_eq!((large.entities.len(), large.kinds.len(), large.places.len()), (512, 64, 96));
        let words =
            [&large.entities[..], &large.kinds, &large.places, &large.goals, &large.adjectives.concat()];
        let words = words.concat();
        assert_eq!(words.iter().collect::<HashSet<_>>().len(), words.len());
        assert!(small.entities.iter().all(|word| all().contains(&word.as_str())));
    }
}
