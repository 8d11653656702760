//! Whether the store can record what is about to be sent, and what became of commits whose answer was lost.

use std::time::{Duration, Instant};

use uuid::Uuid;

use super::idempotency::{GRACE, RECOVERY};
use super::set::{Note, NoteState, notes_text, read_notes};
use super::{WriteError, Writes};
use crate::clock::Time;
use crate::store::{
    AcceptOperation, AttemptState, Ending, Finish, FinishOperation, NewAttempt, Operation, Settle, StoreError,
};

/// How long a request waits to be told whether the store takes writes; and whether one that took none does again.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(1));
/// How long the process itself waits for it.
const LONGEST: Duration = Duration::from_secs(20);
/// So much is written to find out: about what a write takes. A store that was down shows that it takes more, so that one
/// whose last free kilobytes would do for a moment does not count as well.
const CHECK_BYTES: (usize, usize) = (16 << 10, 256 << 10);
/// A pool may hold so many connections that have died unnoticed.
const STALE: usize = 32;
/// How long a request whose commit was not answered waits for the store to say what became of it.
const LOOK_UP: Duration = Duration::from_secs(3);
/// The wait before a store that does not answer is told again.
const TELL_AGAIN: Duration = Duration::from_millis(500);
/// The wait between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

impl Writes {
    /// Says before anything is sent, or stored, whether the store takes writes. What cannot be recorded must not be sent:
    /// when no write has succeeded a moment ago, a little is written.
    ///
    /// # Errors
    /// When the store takes none: nothing has been stored.
    pub async fn must_take_writes(&self) -> Result<(), StoreError> {
        if self.health.is_fresh() {
            return Ok(());
        }
        let patience = match self.health.why_down() {
            None => PATIENCE.0,
            Some(_) => PATIENCE.1,
        };
        match tokio::time::timeout(patience, self.try_store()).await {
            Ok(tried) => tried,
            Err(_) => Err(self.note_late()),
        }
    }

    /// The store has not said in time whether it takes writes.
    fn note_late(&self) -> StoreError {
        let late = || StoreError::down("a write is not answered in time");
        self.health.note::<()>(Instant::now(), &Err(late()));
        late()
    }

    /// As [`Writes::must_take_writes`], where the write itself is what is stored: it is asked only of a store that is down.
    ///
    /// # Errors
    /// When the store takes none: nothing has been stored.
    pub(super) async fn must_not_be_down(&self) -> Result<(), StoreError> {
        match self.health.why_down() {
            None => Ok(()),
            Some(_) => self.must_take_writes().await,
        }
    }

    /// Finds out whether the store takes writes, for the process: however long it takes.
    pub async fn check_store(&self) {
        if tokio::time::timeout(LONGEST, self.try_store()).await.is_err() {
            self.note_late();
        }
    }

    /// Writes a little, and notes what comes of it. One at a time: those who wait share what was found out.
    async fn try_store(&self) -> Result<(), StoreError> {
        let asked_at = Instant::now();
        let _turn = self.health.turn.lock().await;
        if self.health.is_fresh() {
            return Ok(());
        }
        if self.health.failed_since(asked_at) {
            return Err(self.down());
        }
        let mut stale = 0;
        loop {
            let began = Instant::now();
            let bytes = match self.health.why_down() {
                None => CHECK_BYTES.0,
                Some(_) => CHECK_BYTES.1,
            };
            let tried = self.store.check_writes(self.health.process, bytes).await;
            // Its connection had died unnoticed: the next one may live.
            if tried.as_ref().is_err_and(StoreError::is_dead_connection) && stale < STALE {
                stale += 1;
                continue;
            }
            self.health.note(began, &tried);
            return tried.map_err(|error| match error {
                // This write was of no matter: whatever became of it, nothing that matters has been stored.
                StoreError::Undecided(cause) => StoreError::Unavailable(cause),
                error => error,
            });
        }
    }

    fn down(&self) -> StoreError {
        let why = self.health.why_down();
        StoreError::down(why.unwrap_or_else(|| "the store takes no writes".to_owned()))
    }

    /// Looks whether an operation is there whose commit was not answered. `None` when the store does not say within a few
    /// seconds, or does not have it: then nobody knows, because the commit may still be under way.
    pub(super) async fn look_up(&self, project_id: Uuid, operation_id: Uuid) -> Option<Operation> {
        let look = async {
            loop {
                match self.store.get_operation(project_id, operation_id).await {
                    Ok(Some(operation)) => return operation,
                    Ok(None) | Err(_) => tokio::time::sleep(LOOK_AGAIN).await,
                }
            }
        };
        tokio::time::timeout(LOOK_UP, look).await.ok()
    }

    /// Whether the end of a queue item is there, whose commit was not answered. Then it counts as ended.
    pub async fn has_settled(&self, settle: &Settle) -> bool {
        let (project_id, operation_id) = (settle.project_id, settle.operation_id);
        if !matches!(settle.ending, Ending::Finish(_)) {
            return false;
        }
        let found = self.store.get_operation(project_id, operation_id).await;
        let ended = found.is_ok_and(|operation| operation.is_some_and(|operation| operation.state.is_some()));
        if ended {
            self.backlog.add(project_id, settle.lane_id, -1);
            self.finished.ended([operation_id]);
        }
        ended
    }

    /// What to do about a synchronous write with a key when the commit before it leaves was not answered. Answers until when
    /// it is this process's own, when it is there after all and in good time; it may leave then.
    ///
    /// # Errors
    /// When nobody knows. It does not leave, and the queue is told that it has not: should it be there it is performed once,
    /// and the same key gets what comes of it.
    pub(super) async fn begun_after_all(
        &self,
        accept: &AcceptOperation,
        began: Instant,
    ) -> Result<Time, WriteError> {
        let operation = &accept.operation;
        let hold = accept
            .performing
            .as_ref()
            .map_or(Duration::ZERO, |performing| performing.hold);
        let found = self.look_up(operation.project_id, operation.id).await;
        if let Some(found) = found
            && began.elapsed() < GRACE / 2
        {
            return Ok(found.accept_time.after(hold));
        }
        tracing::warn!(operation.id = %operation.id, "it is not known whether a write was accepted; it was not sent");
        self.give_unsent_away(accept, hold);
        Err(WriteError::Undecided {
            operation_id: Some(operation.id),
            keyed: true,
        })
    }

    /// Tells the queue that a write which it may find as noted before it was sent was not: as soon as the store listens.
    fn give_unsent_away(&self, accept: &AcceptOperation, hold: Duration) {
        let sent = accept
            .performing
            .as_ref()
            .and_then(|performing| performing.sent.as_ref());
        let attempts: Vec<NewAttempt> = sent.map(never_left).into_iter().collect();
        let (project_id, operation_id) = (accept.operation.project_id, accept.operation.id);
        let lane_id = accept.operation.connection_id;
        let (store, finish, new_work) = (self.store.clone(), self.finish.clone(), self.new_work.clone());
        let until = Instant::now() + hold + RECOVERY;
        tokio::spawn(async move {
            while Instant::now() < until {
                let found = store.get_operation(project_id, operation_id).await;
                if let Ok(found) = found {
                    // Of one that is not there yet the row is kept all the same: it speaks when the queue finds it.
                    let accepted = found.map_or(Time::from_micros(0), |operation| operation.accept_time);
                    let told = finish
                        .submit(FinishOperation {
                            project_id,
                            lane_id,
                            operation_id,
                            run_at: accepted.after(hold),
                            attempts: attempts.clone(),
                            ending: Finish::HandOver,
                        })
                        .await;
                    match told {
                        Ok(true) => return new_work.changed(lane_id),
                        Ok(false) => return,
                        Err(_) => {}
                    }
                }
                tokio::time::sleep(TELL_AGAIN).await;
            }
        });
    }
}

/// The row that says of one that was noted as about to leave that it has not left.
#[must_use]
pub fn never_left(noted: &NewAttempt) -> NewAttempt {
    let unsent = |note: &Note| Note::new(note.index, NoteState::Unsent);
    let records = noted.records.as_deref();
    NewAttempt {
        state: AttemptState::Answered,
        class: Some("unsent".to_owned()),
        message: Some("it was not sent: the database did not say in time that it was noted".to_owned()),
        records: records.map(|text| {
            let notes: Vec<Note> = read_notes(Some(text)).iter().map(unsent).collect();
            notes_text(&notes)
        }),
        ..noted.clone()
    }
}
