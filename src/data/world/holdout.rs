//! What is kept out of the text: combinations of two content words under a rule.
//!
//! A [`Combination`] is a rule and its two content slots, for example (`thing_place`, jar, road). The hash of
//! (world seed, rule, slots) puts a fixed share of each rule's combinations into the held-out set; benchmark items
//! use only these. No training document, of whatever rule, contains both words of a held-out combination: documents
//! that do are drawn again. `thing_event` holds out a thing with all places of an event at once, so its answer must
//! come from what the thing is made of.
use super::lexicon::*;
use crate::base::hash::sha256_hex;
use std::collections::{BTreeMap, HashMap, HashSet};

/// A rule of the world, named by the two slots whose combinations it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// A thing and a place: what becomes of it there.
    ThingPlace,
    /// A thing and an event, at any of its places.
    ThingEvent,
    /// Two things that meet one event and fare differently.
    ThingPair,
    /// An animal and what it meets.
    AnimalSight,
    /// Work and stuff: the tool.
    WorkStuff,
    /// A goal and an object: the way.
    GoalObject,
    /// A load and a destination: how to take it there.
    LoadDestination,
    /// A course of action and an object.
    ScriptObject,
    /// An object and its colour.
    ObjectColour,
    /// An object and the container that is too small or too big for it.
    ObjectContainer,
    /// Two people.
    PersonPair,
}

impl Rule {
    /// All rules.
    pub const ALL: [Rule; 11] = [
        Rule::ThingPlace,
        Rule::ThingEvent,
        Rule::ThingPair,
        Rule::AnimalSight,
        Rule::WorkStuff,
        Rule::GoalObject,
        Rule::LoadDestination,
        Rule::ScriptObject,
        Rule::ObjectColour,
        Rule::ObjectContainer,
        Rule::PersonPair,
    ];

    /// Name in combination keys.
    pub fn name(self) -> &'static str {
        match self {
            Rule::ThingPlace => "thing_place",
            Rule::ThingEvent => "thing_event",
            Rule::ThingPair => "thing_pair",
            Rule::AnimalSight => "animal_sight",
            Rule::WorkStuff => "work_stuff",
            Rule::GoalObject => "goal_object",
            Rule::LoadDestination => "load_destination",
            Rule::ScriptObject => "script_object",
            Rule::ObjectColour => "object_colour",
            Rule::ObjectContainer => "object_container",
            Rule::PersonPair => "person_pair",
        }
    }

    /// Share of the combinations that are held out, in percent.
    fn percent(self) -> u64 {
        match self {
            Rule::ThingEvent => 15,
            Rule::ThingPlace | Rule::ThingPair => 12,
            Rule::PersonPair => 15,
            _ => 20,
        }
    }

    /// All combinations of the rule, in a fixed order.
    fn combinations(self) -> Vec<Combination> {
        let cross = |firsts: Vec<&'static str>, seconds: Vec<&'static str>| {
            let mut pairs = Vec::new();
            for &a in &firsts {
                pairs.extend(seconds.iter().filter(|&&b| a != b).map(|&b| (a, b)));
            }
            pairs
        };
        let unordered = |words: Vec<&'static str>| {
            let mut pairs = Vec::new();
            for (i, &a) in words.iter().enumerate() {
                pairs.extend(words[i + 1..].iter().map(|&b| (a, b)));
            }
            pairs
        };
        let things = || THINGS.concat();
        let objects = || OBJECTS.to_vec();
        let pairs = match self {
            Rule::ThingPlace => cross(things(), EVENTS.iter().flat_map(|e| e.places).collect()),
            Rule::ThingEvent => cross(things(), EVENTS.iter().map(|e| e.name).collect()),
            Rule::ThingPair => unordered(things()),
            Rule::AnimalSight => cross(ANIMALS.concat(), [ANIMALS.concat(), FOODS.concat()].concat()),
            Rule::WorkStuff => cross(WORK.iter().map(|w| w[0]).collect(), STUFF.concat()),
            Rule::GoalObject => cross(GOALS.iter().map(|g| g.0).collect(), objects()),
            Rule::LoadDestination => cross(LOADS.concat(), DESTINATIONS.to_vec()),
            Rule::ScriptObject => cross(SCRIPTS.iter().map(|s| s.verb).collect(), objects()),
            Rule::ObjectColour => cross(objects(), COLOURS.to_vec()),
            Rule::ObjectContainer => cross(objects(), CONTAINERS.to_vec()),
            Rule::PersonPair => unordered(PEOPLE.iter().map(|p| p.0).collect()),
        };
        pairs.into_iter().map(|(first, second)| Combination { rule: self, first, second }).collect()
    }
}

/// A rule and its two content slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Combination {
    pub rule: Rule,
    pub first: &'static str,
    pub second: &'static str,
}

impl Combination {
    /// The combination in one fixed order: for the unordered rules and for animals that meet each other.
    pub fn new(rule: Rule, first: &'static str, second: &'static str) -> Self {
        Combination { rule, first, second }
    }

    /// As written in item records: `thing_place:jar:road`.
    pub fn key(&self) -> String {
        format!("{}:{}:{}", self.rule.name(), self.first, self.second)
    }
}

/// The held-out combinations of one world seed.
pub struct HoldOut {
    held: BTreeMap<Rule, Vec<Combination>>,
    members: HashSet<Combination>,
    /// Pairs of lemmas, in alphabetical order, that no training document may contain together.
    forbidden: HashSet<(&'static str, &'static str)>,
    /// Word as written in lower case → slot word.
    lemmas: HashMap<String, &'static str>,
}

impl HoldOut {
    /// The held-out set under `seed`.
    pub fn new(seed: u64) -> Self {
        let mut held = BTreeMap::new();
        let mut members = HashSet::new();
        let mut forbidden = HashSet::new();
        for rule in Rule::ALL {
            let chosen: Vec<Combination> =
                rule.combinations().into_iter().filter(|c| chance(seed, &c.key()) < rule.percent()).collect();
            for c in &chosen {
                members.insert(*c);
                match EVENTS.iter().find(|e| rule == Rule::ThingEvent && e.name == c.second) {
                    Some(event) => forbidden.extend(event.places.iter().map(|p| ordered(c.first, p))),
                    None => {
                        forbidden.insert(ordered(c.first, c.second));
                    }
                }
            }
            held.insert(rule, chosen);
        }
        HoldOut { held, members, forbidden, lemmas: lemmas() }
    }

    /// The held-out combinations of `rule`, in a fixed order.
    pub fn of(&self, rule: Rule) -> &[Combination] {
        self.held.get(&rule).map_or(&[], Vec::as_slice)
    }

    /// Whether the combination is held out, also as part of a `thing_event`, and in either order of unordered rules.
    pub fn contains(&self, c: &Combination) -> bool {
        self.members.contains(c) || self.forbidden.contains(&ordered(c.first, c.second))
    }

    /// Whether `text` contains both words of a held-out combination.
    pub fn violated_by(&self, text: &str) -> bool {
        let mut words: Vec<&'static str> = text
            .split(|c: char| !c.is_alphanumeric())
            .filter_map(|w| self.lemmas.get(&w.to_lowercase()).copied())
            .collect();
        words.sort_unstable();
        words.dedup();
        words
            .iter()
            .enumerate()
            .any(|(i, &a)| words[i + 1..].iter().any(|&b| self.forbidden.contains(&(a, b))))
    }
}

/// Percentile of a combination under a seed, 0 … 99.
fn chance(seed: u64, key: &str) -> u64 {
    let digest = sha256_hex(format!("held-out/{seed}/{key}").as_bytes());
    u64::from_str_radix(&digest[..12], 16).unwrap_or(0) % 100
}

fn ordered(a: &'static str, b: &'static str) -> (&'static str, &'static str) {
    if a < b { (a, b) } else { (b, a) }
}

/// All slot words and their inflected forms.
fn lemmas() -> HashMap<String, &'static str> {
    let mut map = HashMap::new();
    for rule in Rule::ALL.into_iter().filter(|&r| r != Rule::ThingEvent) {
        for c in rule.combinations() {
            for word in [c.first, c.second] {
                map.insert(word.to_lowercase(), word);
            }
        }
    }
    for forms in &WORK {
        for form in forms {
            map.insert((*form).to_string(), forms[0]);
        }
    }
    for script in &SCRIPTS {
        map.insert(script.label.to_lowercase(), script.verb);
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_near_their_percentage_and_depend_on_the_seed() {
        let (a, b) = (HoldOut::new(0), HoldOut::new(1));
        for rule in Rule::ALL {
            let all = rule.combinations().len() as f64;
            let expected = all * rule.percent() as f64 / 100.0;
            // Five standard deviations of a binomial.
            let slack = 5.0 * (expected * (1.0 - rule.percent() as f64 / 100.0)).sqrt();
            assert!(
                (a.of(rule).len() as f64 - expected).abs() < slack,
                "{} {}",
                rule.name(),
                a.of(rule).len()
            );
            assert_ne!(a.of(rule), b.of(rule), "{}", rule.name());
        }
    }

    #[test]
    fn violations_are_found_in_any_inflection_and_order() {
        let hold_out = HoldOut::new(0);
        let c = hold_out.of(Rule::WorkStuff)[0];
        let forms = WORK.iter().find(|w| w[0] == c.first).expect("a verb of work");
        for form in forms {
            assert!(hold_out.violated_by(&format!("The {} is there. {form} it.", c.second)));
        }
        let c = hold_out.of(Rule::ThingEvent)[0];
        let event = EVENTS.iter().find(|e| e.name == c.second).expect("an event");
        assert!(hold_out.violated_by(&format!("At the {} is a {}.", event.places[3], c.first)));
        assert!(!hold_out.violated_by("Nothing of note is here."));
    }
}
