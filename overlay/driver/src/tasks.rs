//! What hyper spawns beside a connection of HTTP/2, held together with it.
//!
//! A connection that is dropped lives on in a task of its own until what it still has to say is written. To a service that reads nothing that takes
//! for ever: so those tasks end with the owner of the connection.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::rt::Executor;
use tokio::task::JoinSet;

/// Runs tasks until it is dropped.
#[derive(Debug, Default)]
pub struct Tasks(TaskHandle);

/// Gives tasks to [`Tasks`]. Cloning shares them.
#[derive(Debug, Clone)]
pub struct TaskHandle(Arc<Mutex<Option<JoinSet<()>>>>);

impl Default for TaskHandle {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Some(JoinSet::new()))))
    }
}

impl TaskHandle {
    /// `None` once the owner is gone.
    fn lock(&self) -> MutexGuard<'_, Option<JoinSet<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tasks {
    /// Where hyper leaves its tasks.
    pub fn handle(&self) -> TaskHandle {
        self.0.clone()
    }

    /// Runs one more.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.execute(task);
    }
}

impl<F> Executor<F> for TaskHandle
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        let mut tasks = self.lock();
        if let Some(tasks) = tasks.as_mut() {
            // Those that have ended leave.
            while tasks.try_join_next().is_some() {}
            tasks.spawn(task);
        }
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        // Tasks hold handles, which hold the tasks.
        let tasks = self.0.lock().take();
        drop(tasks);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn tasks_end_with_their_owner_whoever_has_a_handle() {
        let (tasks, held) = (Tasks::default(), Arc::new(()));
        let (handle, holding) = (tasks.handle(), Arc::clone(&held));
        let inner = handle.clone();
        handle.execute(async move {
            let _all = (holding, inner);
            pending::<()>().await;
        });
        tokio::task::yield_now().await;
        assert_eq!(Arc::strong_count(&held), 2);

        drop(tasks);
        while Arc::strong_count(&held) > 1 {
            tokio::task::yield_now().await;
        }

        let late = Arc::clone(&held);
        handle.execute(async move {
            let _late = late;
            pending::<()>().await;
        });
        assert_eq!(Arc::strong_count(&held), 1, "nothing begins without an owner");
    }
}
