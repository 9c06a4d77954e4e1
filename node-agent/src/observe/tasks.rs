//! What each background task of the agent last did: the section "Controller Status" of `kpr status --verbose`.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One background task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskStatus {
    /// What it does, such as "watch-services".
    pub name: String,
    /// When it last succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success: Option<Timestamp>,
    /// When it last failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<Timestamp>,
    /// Failures since the last success.
    pub consecutive_failures: u32,
    /// The last failure's message while the task is failing, "no error" otherwise.
    pub message: String,
}

impl TaskStatus {
    /// Whether the last run succeeded. A task that has not run yet is healthy, as in Cilium's list.
    pub fn healthy(&self) -> bool {
        self.consecutive_failures == 0
    }
}

/// All background tasks of the agent. Clones share the same list.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tasks: Arc<Mutex<BTreeMap<&'static str, TaskStatus>>>,
}

/// With this, one task reports how it is doing.
#[derive(Clone, Debug)]
pub struct Task {
    name: &'static str,
    tasks: Tasks,
}

impl Tasks {
    /// Enters a task into the list.
    pub fn register(&self, name: &'static str) -> Task {
        self.lock().entry(name).or_insert_with(|| TaskStatus {
            name: name.to_owned(),
            message: NO_ERROR.to_owned(),
            ..TaskStatus::default()
        });
        Task {
            name,
            tasks: self.clone(),
        }
    }

    /// All tasks, by name.
    pub fn list(&self) -> Vec<TaskStatus> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, TaskStatus>> {
        // Every update is a whole assignment of plain fields: a panic elsewhere leaves nothing half-written.
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Task {
    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The task did its work.
    pub fn succeeded(&self, now: Timestamp) {
        self.update(|task| {
            task.last_success = Some(now);
            task.consecutive_failures = 0;
            NO_ERROR.clone_into(&mut task.message);
        });
    }

    /// The task failed. Returns whether this is news: it had not been failing, or with another message.
    pub fn failed(&self, now: Timestamp, message: &str) -> bool {
        let mut news = false;
        self.update(|task| {
            news = task.consecutive_failures == 0 || task.message != message;
            task.last_error = Some(now);
            task.consecutive_failures = task.consecutive_failures.saturating_add(1);
            message.clone_into(&mut task.message);
        });
        news
    }

    /// Whether the last run failed.
    pub fn is_failing(&self) -> bool {
        self.tasks.lock().get(self.name).is_some_and(|task| !task.healthy())
    }

    fn update(&self, change: impl FnOnce(&mut TaskStatus)) {
        if let Some(task) = self.tasks.lock().get_mut(self.name) {
            change(task);
        }
    }
}

const NO_ERROR: &str = "no error";

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_failing_task_counts_until_it_succeeds_and_keeps_the_time_of_its_last_error() {
        let tasks = Tasks::default();
        let task = tasks.register("watch-services");
        assert!(tasks.list()[0].healthy(), "a task that never ran is healthy");

        assert!(task.failed(at(1), "refused"), "the first failure is news");
        assert!(!task.failed(at(2), "refused"), "the same failure again is not");
        assert!(task.failed(at(3), "forbidden"), "another message is");
        assert_eq!(tasks.list()[0].consecutive_failures, 3);
        assert!(task.is_failing());

        task.succeeded(at(4));
        let status = &tasks.list()[0];
        assert_eq!(status.consecutive_failures, 0);
        assert_eq!(status.message, "no error");
        assert_eq!((status.last_success, status.last_error), (Some(at(4)), Some(at(3))));
    }

    #[test]
    fn tasks_are_listed_by_name_and_registering_twice_keeps_their_history() {
        let tasks = Tasks::default();
        tasks.register("b").failed(at(1), "x");
        tasks.register("a");
        tasks.register("b");
        let names: Vec<_> = tasks
            .list()
            .into_iter()
            .map(|t| (t.name, t.consecutive_failures))
            .collect();
        assert_eq!(names, [("a".to_owned(), 0), ("b".to_owned(), 1)]);
    }
}
