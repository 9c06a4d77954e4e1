//! Tasks that run as long as the control plane does.

use std::fmt::Debug;

use tokio::{
    sync::oneshot,
    task::{JoinHandle, JoinSet},
};

/// A set of tasks. None of them is expected to end by itself; they are ended before the runtime is, since a controller panics that sees its
/// own reconciliation cancelled, as it may while a runtime ends.
pub(super) struct Tasks {
    stop: oneshot::Sender<()>,
    watched: JoinHandle<()>,
}

impl Tasks {
    /// Watches over them, on the runtime that this runs on.
    pub(super) fn watch<T: Debug + Send + 'static>(what: &'static str, mut tasks: JoinSet<T>) -> Self {
        let (stop, stopped) = oneshot::channel();
        let watched = tokio::spawn(async move {
            let each_ended = async {
                while let Some(ended) = tasks.join_next().await {
                    tracing::error!("{what} ended: {ended:?}");
                }
            };
            tokio::select! {
                () = each_ended => {}
                _ = stopped => tasks.shutdown().await,
            }
        });
        Self { stop, watched }
    }

    /// Ends them. Returns when all have ended.
    pub(super) async fn end(self) {
        // Nobody listens if all have ended.
        let _ = self.stop.send(());
        if let Err(error) = self.watched.await {
            tracing::error!("tasks of the control plane: {error}");
        }
    }
}
