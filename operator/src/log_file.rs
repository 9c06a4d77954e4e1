//! A file with the filter of log lines, which may change at any time: a ConfigMap that is mounted into the operators' pods changes
//! them all.

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::time::Duration;

use kpr_log_filter::{Levels, LogFilter};
use tokio::fs;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, warn};

/// Between two looks. The file is read and not watched: a kubelet puts a new directory behind a link, and whoever watches the file
/// watches the old one.
const PAUSE: Duration = Duration::from_secs(5);

/// Brings what the file holds into force, and each change of it until the result is dropped.
///
/// Without the file, or while it is empty, the filter that the levels began with holds; while it holds no filter, the one before.
pub async fn follow(path: PathBuf, levels: Levels) -> AbortOnDropHandle<()> {
    let mut file = LogFile {
        path,
        levels,
        seen: None,
    };
    // What the operator tells first is filtered already.
    file.look().await;
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            sleep(PAUSE).await;
            file.look().await;
        }
    }))
}

struct LogFile {
    path: PathBuf,
    levels: Levels,
    /// What the last look found: the content, or why there is none.
    seen: Option<Result<String, String>>,
}

impl LogFile {
    async fn look(&mut self) {
        let read = fs::read_to_string(&self.path).await;
        match self.news(read) {
            None => {}
            Some(Ok(filter)) => {
                if let Err(error) = self.levels.set(filter) {
                    error!("{error}");
                }
            }
            Some(Err(wrong)) => warn!(
                "log lines are filtered by {} as before: {}: {wrong}",
                self.levels.current(),
                self.path.display()
            ),
        }
    }

    /// The filter that the file asks for, or why it asks for none; nothing if it is as at the last look.
    fn news(&mut self, read: io::Result<String>) -> Option<Result<LogFilter, String>> {
        let found = match read {
            Ok(text) => Ok(text.trim().to_owned()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(error.to_string()),
        };
        if self.seen.as_ref() == Some(&found) {
            return None;
        }
        self.seen = Some(found.clone());
        Some(found.and_then(|text| {
            if text.is_empty() {
                Ok(self.levels.initial().clone())
            } else {
                text.parse()
                    .map_err(|wrong: kpr_log_filter::FilterError| wrong.to_string())
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use kpr_log_filter::LevelsLayer;

    use super::*;

    fn levels() -> (LevelsLayer, Levels) {
        Levels::new(&[], "info".parse().expect("a filter"))
    }

    #[test]
    fn a_file_tells_its_filter_or_what_is_wrong_once_for_each_content() {
        let (_layer, levels) = levels();
        let mut file = LogFile {
            path: PathBuf::new(),
            levels,
            seen: None,
        };
        let mut look = |read: Result<&str, ErrorKind>| match file.news(read.map(str::to_owned).map_err(io::Error::from))
        {
            None => String::new(),
            Some(Ok(filter)) => format!("use {filter}"),
            Some(Err(wrong)) => wrong,
        };
        assert_eq!(look(Ok("debug\n")), "use debug");
        assert_eq!(look(Ok("debug")), "", "the same filter");
        assert!(look(Ok("debgu")).starts_with("\"debgu\" is no log level"));
        assert_eq!(look(Ok("debgu")), "", "said before");
        assert!(look(Ok("inof")).starts_with("\"inof\" is no log level"));
        assert_eq!(look(Ok("warn")), "use warn");
        assert!(look(Ok("debgu")).starts_with("\"debgu\""), "it is news again");
        assert_eq!(look(Ok(" \n")), "use info", "as it began");
        assert_eq!(look(Err(ErrorKind::NotFound)), "", "no more than empty");
        assert_eq!(look(Err(ErrorKind::PermissionDenied)), "permission denied");
        assert_eq!(look(Err(ErrorKind::PermissionDenied)), "", "said before");
        assert_eq!(look(Err(ErrorKind::NotFound)), "use info");
    }

    /// As a kubelet does it.
    fn swap(directory: &Path, name: &str, filter: Option<&str>) {
        let data = directory.join(name);
        std::fs::create_dir(&data).expect("a directory");
        if let Some(filter) = filter {
            std::fs::write(data.join("level"), filter).expect("a file");
        }
        symlink(name, directory.join("..new")).expect("a link");
        std::fs::rename(directory.join("..new"), directory.join("..data")).expect("another target");
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_behind_a_link_is_in_force_after_the_next_look() {
        let directory = tempfile::tempdir().expect("a directory");
        symlink("..data/level", directory.path().join("level")).expect("a link");
        swap(directory.path(), "..1", Some("warn"));
        let (_layer, levels) = levels();
        let following = follow(directory.path().join("level"), levels.clone()).await;
        assert_eq!(levels.current().to_string(), "warn", "from the first line on");
        let changes = [
            (Some("info,kpr_operator=debug"), "info,kpr_operator=debug"),
            (Some("debgu"), "info,kpr_operator=debug"),
            (Some("error"), "error"),
            (None, "info"),
        ];
        for (number, (filter, expected)) in changes.into_iter().enumerate() {
            swap(directory.path(), &format!("..next-{number}"), filter);
            sleep(PAUSE + Duration::from_millis(1)).await;
            assert_eq!(levels.current().to_string(), expected, "{filter:?}");
        }
        assert!(!following.is_finished());
    }
}
