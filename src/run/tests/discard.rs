//! Models that are deleted once they are scored, and made again where somebody asks.
use super::*;

impl Bench {
    fn final_models(&self) -> FinalModels<'_> {
        FinalModels::of(&self.plan, &self.keys, &self.store)
    }

    /// Ids of the models that are in the store.
    fn models(&self) -> Vec<&str> {
        let is_there = |(stage, key): &(&Stage, &StageKey)| {
            matches!(stage.kind, StageKind::Model(_)) && self.store.is_done(key)
        };
        let there = self.plan.stages.iter().zip(&self.keys).filter(is_there);
        there.map(|(stage, _)| stage.id.as_str()).collect()
    }
}

fn discarding(bench: &Bench) -> Log<'_> {
    Log { models: Some((&bench.plan, bench.final_models())), ..Log::default() }
}

#[test]
fn models_that_others_start_from_stay_and_the_rest_is_not_made_again() {
    let bench = Bench::new();
    let outcome = bench.swept(&Mock::default(), &discarding(&bench), 2).unwrap();
    assert_eq!((outcome.done, bench.final_models().discardable().len()), (12, 0));
    let left = bench.models();
    assert!(!left.is_empty() && left.iter().all(|id| !id.starts_with("one_shot-")), "{left:?}");
    assert!(left.iter().any(|id| id.starts_with("source-")), "{left:?}");
    let again = Mock::default();
    assert_eq!(bench.sweep(&again, 1).0.unwrap(), Outcome { kept: 12, ..Outcome::default() });
    assert!(again.executed.lock().unwrap().is_empty());
}

#[test]
fn a_model_that_is_not_scored_is_kept() {
    let bench = Bench::new();
    let mock = Mock { fails: named("eval-one_shot-s1"), ..Mock::default() };
    bench.swept(&mock, &discarding(&bench), 1).unwrap();
    let id = &bench.key("one_shot-s1").id;
    assert!(bench.models().contains(&id.as_str()));
    bench.swept(&Mock::default(), &discarding(&bench), 1).unwrap();
    assert!(!bench.models().contains(&id.as_str()));
}

/// Each finds stages done, and models gone, that it has planned to make.
#[test]
fn several_processes_that_discard_make_nothing_twice() {
    for round in 0..20 {
        let bench = Bench::new();
        // Of one process what another `Claims` has taken counts as left behind, so they share one.
        let claims = bench.store.enter("plan").unwrap();
        let needs = Need::Results.of_all(&bench.plan);
        let job = bench.job(&claims, &needs, 1);
        let mocks = [0, 1, 2].map(|number| Mock { takes: Duration::from_millis(number), ..Mock::default() });
        std::thread::scope(|scope| {
            for mock in &mocks {
                scope.spawn(|| sweep(&job, mock, &discarding(&bench)).unwrap());
            }
        });
        let executed = mocks.into_iter().flat_map(|mock| mock.executed.into_inner().unwrap());
        let mut executed: Vec<String> = executed.collect();
        executed.sort();
        let mut planned: Vec<String> = bench.plan.stages.iter().map(|stage| stage.id.clone()).collect();
        planned.sort();
        assert_eq!(executed, planned, "round {round}");
    }
}

#[test]
fn a_model_is_restored_where_it_is_needed_and_its_failure_is_told() {
    let bench = Bench::new();
    bench.swept(&Mock::default(), &discarding(&bench), 1).unwrap();
    let at = bench.plan.runs.iter().position(|run| run.id.starts_with("one_shot-s1")).unwrap();
    let model = bench.plan.stages[bench.plan.runs[at].model].id.clone();
    let mut needs = Need::Nothing.of_all(&bench.plan);
    needs[at] = Need::Model;
    let restored = |mock: &Mock| {
        let claims = bench.store.enter("plan").unwrap();
        sweep(&bench.job(&claims, &needs, 2), mock, &Log::default()).unwrap()
    };
    let failed = restored(&Mock { fails: named(&model), ..Mock::default() });
    assert_eq!(failed, Outcome { failed: vec![(at, "model: loss is NaN".into())], ..Outcome::default() });
    let mock = Mock::default();
    assert_eq!(restored(&mock), Outcome { done: 1, ..Outcome::default() });
    assert_eq!(*mock.executed.lock().unwrap(), [model]);
    assert_eq!(restored(&Mock::default()), Outcome { kept: 1, ..Outcome::default() });
}
