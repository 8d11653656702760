//! How far the records of a write have come: a pure function of its attempts. Nothing else is kept between two calls, so a
//! batch goes on after a crash where its attempts say that it stands. Of a single write its item says all that matters.

use std::collections::HashSet;

use super::{Note, NoteState, read_notes};
use crate::clock::Time;
use crate::store::{Attempt, AttemptState};

/// Where one record stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// How it ended.
    pub end: Option<Note>,
    /// Whether a call with it has been answered.
    tried: bool,
    /// Since when an earlier request may have been applied.
    pub doubt_since: Option<Time>,
    /// The call that was refused as a whole with it, and how many records that call carried.
    split: Option<(usize, usize)>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// The same in the provider's own words.
    pub last_told: Option<String>,
}

impl Standing {
    /// A request for it has left, and nobody knows what became of that: of several the earliest counts.
    fn is_in_doubt_since(&mut self, since: Time) {
        self.doubt_since = Some(self.doubt_since.map_or(since, |known| known.min(since)));
    }

    /// While an earlier request for a record is in doubt, "failed" would say more than is known.
    pub fn doubt(&self, note: &mut Note) {
        if self.doubt_since.is_some() {
            note.doubt();
        }
    }

    /// How a record ends that has failed.
    #[must_use]
    pub fn failure(&self, index: usize, text: String) -> Note {
        let mut note = Note::with_error(index, NoteState::Failed, text);
        self.doubt(&mut note);
        note
    }
}

/// Where the records of a write stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Each record, in the order of the request.
    pub records: Vec<Standing>,
    calls: usize,
}

impl Progress {
    /// Records of which nothing has happened yet.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self {
            records: vec![Standing::default(); count],
            calls: 0,
        }
    }

    /// Where a single write stands: `doubt_since` is since when an earlier request of it may have been applied.
    #[must_use]
    pub fn of_single(doubt_since: Option<Time>) -> Self {
        let mut progress = Self::new(1);
        if let (Some(since), [record]) = (doubt_since, progress.records.as_mut_slice()) {
            record.is_in_doubt_since(since);
        }
        progress
    }

    /// Where a batch of `count` records stands after these attempts.
    #[must_use]
    pub fn of(count: usize, attempts: &[Attempt]) -> Self {
        let mut progress = Self::new(count);
        let mut doubts: Vec<(uuid::Uuid, usize, Time)> = Vec::new();
        let mut settled: HashSet<(uuid::Uuid, usize)> = HashSet::new();
        for row in attempts {
            let notes = read_notes(row.records.as_deref());
            if row.state == AttemptState::Sent {
                doubts.extend(notes.iter().map(|note| (row.id, note.index, row.start_time)));
                continue;
            }
            for note in &notes {
                if note.state == NoteState::Doubt {
                    doubts.push((row.id, note.index, row.start_time));
                } else {
                    settled.insert((row.id, note.index));
                }
            }
            progress.note(&notes);
        }
        for (id, index, since) in doubts {
            if let Some(record) = progress.records.get_mut(index)
                && !settled.contains(&(id, index))
            {
                record.is_in_doubt_since(since);
            }
        }
        progress
    }

    /// Takes note of one answered call.
    pub fn note(&mut self, notes: &[Note]) {
        self.calls += 1;
        let size = notes.iter().filter(|note| note.state == NoteState::Split).count();
        for note in notes {
            let Some(record) = self.records.get_mut(note.index) else {
                continue;
            };
            match note.state {
                NoteState::Sent | NoteState::Unsent => continue,
                // A success that came late is the truth, whatever was thought meanwhile.
                NoteState::Succeeded => record.end = Some(note.clone()),
                state if state.is_end() => {
                    record.end.get_or_insert_with(|| note.clone());
                }
                NoteState::Split => record.split = Some((self.calls, size)),
                _ => record.split = None,
            }
            record.tried = true;
            if note.error.is_some() {
                record.last_error.clone_from(&note.error);
                record.last_told.clone_from(&note.told);
            }
        }
    }

    /// The records that have not ended.
    pub fn open(&self) -> impl Iterator<Item = usize> {
        self.records
            .iter()
            .enumerate()
            .filter(|(_, record)| record.end.is_none())
            .map(|(index, _)| index)
    }

    /// Whether every record has ended.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.open().next().is_none()
    }

    /// Whether a record waits for a later attempt, rather than for its first one.
    #[must_use]
    pub fn is_put_off(&self, index: usize) -> bool {
        self.records
            .get(index)
            .is_some_and(|record| record.end.is_none() && record.tried && record.split.is_none())
    }

    /// The records of the next call: of what has not been tried yet, or else one half of what was refused together.
    /// `waiting` are records that must not be sent yet. With `all_or_none` they go together or not at all.
    #[must_use]
    pub fn next_now(&self, waiting: &HashSet<usize>, limit: usize, all_or_none: bool) -> Vec<usize> {
        let free = |index: &usize| !waiting.contains(index);
        let untried: Vec<usize> = self
            .open()
            .filter(|index| !self.records[*index].tried)
            .filter(free)
            .collect();
        if all_or_none {
            let all = untried.len() == self.records.len();
            return if all { untried } else { Vec::new() };
        }
        if !untried.is_empty() {
            return untried.into_iter().take(limit).collect();
        }
        let split = |index: &usize| self.records[*index].split;
        let Some((call, size)) = self.open().filter(free).find_map(|index| split(&index)) else {
            return Vec::new();
        };
        let group: Vec<usize> = self
            .open()
            .filter(free)
            .filter(|index| split(index) == Some((call, size)))
            .collect();
        // What is left of a refused call after its first half goes in one.
        let take = if group.len() < size {
            group.len()
        } else {
            size.div_ceil(2)
        };
        group.into_iter().take(take.min(limit)).collect()
    }

    /// The records of the next call when what is put off may be sent, too.
    #[must_use]
    pub fn next(&self, waiting: &HashSet<usize>, limit: usize, all_or_none: bool) -> Vec<usize> {
        let now = self.next_now(waiting, limit, all_or_none);
        if !now.is_empty() {
            return now;
        }
        let free: Vec<usize> = self.open().filter(|index| !waiting.contains(index)).collect();
        if all_or_none && free.len() < self.records.len() {
            return Vec::new();
        }
        free.into_iter().take(limit).collect()
    }

    /// Ends every open record with what `end` says of it.
    pub fn end_open(&mut self, mut end: impl FnMut(usize, &Standing) -> Note) -> Vec<Note> {
        let open: Vec<usize> = self.open().collect();
        let notes: Vec<Note> = open
            .into_iter()
            .map(|index| end(index, &self.records[index]))
            .collect();
        for note in &notes {
            self.records[note.index].end = Some(note.clone());
        }
        notes
    }

    /// How each record ended, as it is kept with the result.
    #[must_use]
    pub fn ends(&self) -> Vec<Note> {
        self.records
            .iter()
            .filter_map(|record| record.end.clone())
            .collect()
    }

    /// How many records ended as succeeded, as failed, and in need of review.
    #[must_use]
    pub fn counts(&self) -> (usize, usize, usize) {
        let count = |state: NoteState| {
            let ends = self.records.iter().filter_map(|record| record.end.as_ref());
            ends.filter(|end| end.state == state).count()
        };
        (
            count(NoteState::Succeeded),
            count(NoteState::Failed),
            count(NoteState::NeedsReview),
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::writes::set::notes_text;

    fn nobody() -> HashSet<usize> {
        HashSet::new()
    }

    fn row(id: u128, state: AttemptState, notes: &[Note]) -> Attempt {
        Attempt {
            id: uuid::Uuid::from_u128(id),
            operation_id: uuid::Uuid::nil(),
            project_id: uuid::Uuid::nil(),
            number: 1,
            state,
            start_time: Time::from_micros(7),
            status: None,
            class: None,
            message: None,
            latency_us: None,
            skipped: None,
            excerpt: None,
            records: Some(notes_text(notes)),
        }
    }

    #[test]
    fn a_request_without_its_answer_leaves_its_records_in_doubt_and_others_not() {
        let sent = [Note::new(0, NoteState::Sent), Note::new(1, NoteState::Sent)];
        let progress = Progress::of(3, &[row(1, AttemptState::Sent, &sent)]);
        let doubts: Vec<bool> = progress.records.iter().map(|r| r.doubt_since.is_some()).collect();
        assert_eq!(doubts, [true, true, false]);
        let answered = [Note::new(0, NoteState::Succeeded), Note::new(1, NoteState::Retry)];
        let progress = Progress::of(
            3,
            &[
                row(1, AttemptState::Answered, &answered),
                row(1, AttemptState::Sent, &sent),
            ],
        );
        assert!(progress.records.iter().all(|r| r.doubt_since.is_none()));
        assert_eq!(progress.open().collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn records_in_doubt_go_call_by_call_without_a_wait_between() {
        let sent: Vec<Note> = (0..3).map(|index| Note::new(index, NoteState::Sent)).collect();
        let mut progress = Progress::of(3, &[row(1, AttemptState::Sent, &sent)]);
        for index in 0..3 {
            assert_eq!(progress.next_now(&nobody(), 1, false), [index]);
            assert!(!progress.is_put_off(index));
            progress.note(&[Note::new(index, NoteState::Succeeded)]);
        }
        assert!(progress.is_done());
    }

    #[test]
    fn an_unanswered_call_stays_in_doubt_when_a_later_one_is_answered() {
        let doubt = [Note::new(0, NoteState::Doubt)];
        let retry = [Note::new(0, NoteState::Retry)];
        let progress = Progress::of(
            1,
            &[
                row(1, AttemptState::Unanswered, &doubt),
                row(2, AttemptState::Answered, &retry),
            ],
        );
        assert!(progress.records[0].doubt_since.is_some());
    }

    #[test]
    fn of_several_open_doubts_the_earliest_counts() {
        let at = |id, state: AttemptState, note, micros| Attempt {
            start_time: Time::from_micros(micros),
            ..row(id, state, &[Note::new(0, note)])
        };
        let since = |rows: &[Attempt]| Progress::of(1, rows).records[0].doubt_since;
        let first = at(1, AttemptState::Unanswered, NoteState::Doubt, 10);
        let second = at(2, AttemptState::Sent, NoteState::Sent, 20);
        let third = at(3, AttemptState::Unanswered, NoteState::Doubt, 30);
        for rows in [
            [first.clone(), second.clone(), third.clone()],
            [third.clone(), second.clone(), first.clone()],
        ] {
            assert_eq!(since(&rows), Some(Time::from_micros(10)));
        }
        // The first one has been answered after all: then the second.
        let answered = at(1, AttemptState::Answered, NoteState::Retry, 10);
        assert_eq!(
            since(&[first, answered, third, second]),
            Some(Time::from_micros(20))
        );
    }

    #[test]
    fn a_late_success_counts_and_another_end_does_not_replace_the_first() {
        let review = [
            Note::new(0, NoteState::NeedsReview),
            Note::new(1, NoteState::Failed),
        ];
        let late = [
            Note::new(0, NoteState::Succeeded),
            Note::new(1, NoteState::NeedsReview),
        ];
        let progress = Progress::of(
            2,
            &[
                row(1, AttemptState::Answered, &review),
                row(2, AttemptState::Answered, &late),
            ],
        );
        assert_eq!(progress.counts(), (1, 1, 0));
    }

    #[test]
    fn what_was_not_tried_goes_first_and_what_waits_does_not_go() {
        let mut progress = Progress::new(4);
        progress.note(&[Note::new(0, NoteState::Retry)]);
        assert_eq!(progress.next(&HashSet::from([2]), 9, false), [1, 3]);
        assert_eq!(progress.next(&HashSet::from([1, 2, 3]), 9, false), [0]);
        assert!(progress.next_now(&HashSet::from([1, 2, 3]), 9, false).is_empty());
    }

    #[test]
    fn all_or_none_goes_together_or_not_at_all() {
        let mut progress = Progress::new(3);
        assert!(progress.next(&HashSet::from([2]), 9, true).is_empty());
        assert_eq!(progress.next(&nobody(), 9, true), [0, 1, 2]);
        let retry: Vec<Note> = (0..3).map(|i| Note::new(i, NoteState::Retry)).collect();
        progress.note(&retry);
        assert_eq!(progress.next(&nobody(), 9, true), [0, 1, 2]);
    }

    proptest! {
        /// A provider that refuses a call as a whole for any bad record in it: exactly the bad ones fail, and it takes few
        /// calls.
        #[test]
        fn halving_finds_exactly_the_bad_records(bad in proptest::collection::vec(proptest::bool::weighted(0.1), 1..=100)) {
            let mut progress = Progress::new(bad.len());
            let mut calls = 0;
            loop {
                let chunk = progress.next_now(&nobody(), 100, false);
                if chunk.is_empty() {
                    break;
                }
                calls += 1;
                prop_assert!(calls <= 2 * bad.len(), "it must come to an end");
                let refused = chunk.iter().any(|index| bad[*index]);
                let state = match (refused, chunk.len()) {
                    (false, _) => NoteState::Succeeded,
                    (true, 1) => NoteState::Failed,
                    (true, _) => NoteState::Split,
                };
                let notes: Vec<Note> = chunk.iter().map(|index| Note::new(*index, state)).collect();
                progress.note(&notes);
            }
            prop_assert!(progress.is_done());
            for (index, bad) in bad.iter().enumerate() {
                let end = progress.records[index].end.as_ref().map(|end| end.state);
                prop_assert_eq!(end == Some(NoteState::Failed), *bad);
            }
        }
    }
}
