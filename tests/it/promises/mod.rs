//! The promises, each shown with real parts: processes that are killed, databases that go away, providers that misbehave.
//!
//! Whatever happens, the same auditor compares what the apps were told with what the simulated providers have seen
//! ([`verdict`]); its own tests show that it notices. Random choices come from a seed that is printed; `AMP_SEED` repeats one.
//! `AMP_KILLS` makes the kills more.
//!
//! | promise | where |
//! |---|---|
//! | P1, P2, P3: acknowledged is durable, nothing vanishes, no create is blindly repeated | [`killed`], [`stopped`], [`outages`], [`nodes`], [`faults`], [`clocks`], [`model`], [`reconcile`] |
//! | P4 also when a request outlives the process that sent it | [`overtaken`], [`killed`] |
//! | P4: one record's writes in accepted order | all of these: each has ordered updates |
//! | P5: one installation does not delay another | [`isolation`] |

mod clocks;
mod faults;
mod isolation;
mod killed;
mod load;
mod model;
mod nodes;
mod outages;
mod overtaken;
mod reconcile;
mod stopped;
mod verdict;

/// The seed of a test's random choices, printed: `AMP_SEED` repeats a run.
fn seed(test: &str) -> u64 {
    let given = std::env::var("AMP_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("{test}: AMP_SEED={seed}");
    seed
}

/// How many kills a test makes: its own number, times `AMP_KILLS` divided by 200, the number of all tests together.
fn kills(own: usize) -> usize {
    let wanted: usize = std::env::var("AMP_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(200);
    (own * wanted / 200).max(1)
}
