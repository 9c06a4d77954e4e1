//! Who listens, and what they are sent.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kpr_abi::event::{Event, Wanted};
use tokio::sync::{mpsc, watch};

use super::{Filter, Line, Names, Told};
use crate::datapath::Events;

/// How many lines may wait for a listener.
const WAITING: usize = 4_096;

/// What the reader is told of the datapath.
pub enum Feed {
    /// Programs were loaded that tell into this; others may still be attached.
    Loaded(Box<Events>),
    /// They are attached, and no others.
    Attached,
    /// Those that are attached have nothing to tell with.
    Off,
}

/// Joins those who listen with those who tell.
pub struct Hub {
    state: Mutex<State>,
    wanted: watch::Sender<Wanted>,
    feed: mpsc::UnboundedSender<Feed>,
    reader: Mutex<Option<mpsc::UnboundedReceiver<Feed>>>,
}

#[derive(Default)]
struct State {
    listeners: Vec<Listener>,
    next: u64,
    attached: bool,
    names: Names,
}

struct Listener {
    number: u64,
    filter: Filter,
    mask: u64,
    lines: mpsc::Sender<Line>,
    /// Events for which one is due.
    credit: u64,
    lost: (u64, u64),
}

impl Default for Hub {
    fn default() -> Self {
        let (feed, reader) = mpsc::unbounded_channel();
        Self {
            state: Mutex::default(),
            wanted: watch::Sender::new(Wanted::default()),
            feed,
            reader: Mutex::new(Some(reader)),
        }
    }
}

/// The lines of one listener, until it is dropped.
pub struct Listening {
    lines: mpsc::Receiver<Line>,
    number: u64,
    hub: Arc<Hub>,
}

impl Listening {
    /// The next line; none: there are no more.
    pub async fn next(&mut self) -> Option<Line> {
        self.lines.recv().await
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut state = self.hub.state();
        state.listeners.retain(|listener| listener.number != self.number);
        self.hub.want(&state);
    }
}

impl Hub {
    /// Begins to listen; an error is about the filter.
    pub fn listen(self: &Arc<Self>, filter: Filter) -> Result<Listening, String> {
        let mask = filter.mask()?;
        let (sender, lines) = mpsc::channel(WAITING);
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        if state.attached {
            // Room for thousands.
            let _ = sender.try_send(Line::Listening);
        }
        state.listeners.push(Listener {
            number,
            filter,
            mask,
            lines: sender,
            credit: 0,
            lost: (0, 0),
        });
        self.want(&state);
        Ok(Listening {
            lines,
            number,
            hub: Arc::clone(self),
        })
    }

    /// What the programs are to tell; a sample of 0: nobody listens.
    pub fn wanted(&self) -> watch::Receiver<Wanted> {
        self.wanted.subscribe()
    }

    /// Whether somebody listens.
    pub fn is_wanted(&self) -> bool {
        self.wanted.borrow().sample != 0
    }

    /// Tells the reader.
    pub fn feed(&self, feed: Feed) {
        // A reader that has ended is the agent's end.
        let _ = self.feed.send(feed);
    }

    /// Nothing can be told: everybody who listens hears why, and is sent away.
    pub fn fail(&self, message: &str) {
        let mut state = self.state();
        for listener in state.listeners.drain(..) {
            let _ = listener.lines.try_send(Line::Failed {
                message: message.to_owned(),
            });
        }
        self.want(&state);
    }

    /// Has names of Services changed.
    pub fn name(&self, change: impl FnOnce(&mut Names)) {
        change(&mut self.state().names);
    }

    /// What the reader is told; once.
    pub(super) fn reader(&self) -> Option<mpsc::UnboundedReceiver<Feed>> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Programs that tell are attached, or are so no more.
    pub(super) fn attached(&self, attached: bool) {
        let mut state = self.state();
        if attached && !state.attached {
            for listener in &state.listeners {
                let _ = listener.lines.try_send(Line::Listening);
            }
        }
        state.attached = attached;
    }

    /// Sends an event to whom it is for.
    pub(super) fn pass(&self, event: &Event) {
        let mut state = self.state();
        let State { listeners, names, .. } = &mut *state;
        let mut told = None;
        for listener in listeners {
            if !listener.filter.takes(listener.mask, event, names) {
                continue;
            }
            listener.credit += u64::from(event.sample.max(1));
            let sample = u64::from(listener.filter.sample.max(1));
            if listener.credit < sample {
                continue;
            }
            listener.credit -= sample;
            let told = told.get_or_insert_with(|| Told::of(event, names));
            let line = Line::Event(Box::new(Told {
                sample: listener.filter.sample.max(1),
                ..told.clone()
            }));
            if listener.lines.try_send(line).is_err() {
                listener.lost.1 += 1;
            }
        }
    }

    /// Counts events that the programs found no room for, and tells whoever can be told how many it has lost.
    pub(super) fn lose(&self, datapath: u64) {
        for listener in &mut self.state().listeners {
            listener.lost.0 += datapath;
            let (datapath, lost) = listener.lost;
            let line = Line::Lost {
                datapath,
                listener: lost,
            };
            if listener.lost != (0, 0) && listener.lines.try_send(line).is_ok() {
                listener.lost = (0, 0);
            }
        }
    }

    /// What all listeners together want.
    fn want(&self, state: &State) {
        let wanted = state.listeners.iter().fold(Wanted::default(), |wanted, listener| {
            let sample = listener.filter.sample.max(1);
            Wanted {
                reasons: wanted.reasons | listener.mask,
                sample: if wanted.sample == 0 {
                    sample
                } else {
                    wanted.sample.min(sample)
                },
                zero: 0,
            }
        });
        self.wanted
            .send_if_modified(|now| std::mem::replace(now, wanted) != wanted);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
