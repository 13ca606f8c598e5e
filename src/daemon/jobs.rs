//! Background jobs of the daemon: tasks that run until it stops, and that calls do not wait for.

use std::collections::HashMap;

use tokio::task::{Id, JoinSet};

/// Dropping it aborts every job.
#[derive(Default)]
pub struct Jobs {
    tasks: JoinSet<()>,
    names: HashMap<Id, &'static str>,
}

impl Jobs {
    /// Starts a job. `name` is the subject of the message if it panics.
    pub fn start(&mut self, name: &'static str, job: impl Future<Output = ()> + Send + 'static) {
        let task = self.tasks.spawn(job);
        self.names.insert(task.id(), name);
    }

    /// Waits until a job panics; returns its name. A job that returns had nothing to do. Cancel safe.
    pub async fn failed(&mut self) -> &'static str {
        while let Some(ended) = self.tasks.join_next_with_id().await {
            if let Err(error) = ended {
                return self.names.get(&error.id()).copied().unwrap_or("background job");
            }
        }
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_job_that_panics_is_named_and_one_that_returns_is_not() {
        let mut jobs = Jobs::default();
        jobs.start("endless", std::future::pending());
        jobs.start("done", std::future::ready(()));
        jobs.start("faulty", async { panic!("as planned") });
        assert_eq!(jobs.failed().await, "faulty");
    }
}
