//! What is explained is what happens, and explaining changes nothing.

mod agreement;
mod calls;
mod flows;
mod random;
mod state;
mod text;
mod world;

use kpr_node_agent::datapath::{CallStory, Choice, PacketStory, Story};
use std::collections::BTreeSet;

/// What an explanation says of the way to the backend.
trait Told {
    fn story(&self) -> &Story;
}

impl Told for PacketStory {
    fn story(&self) -> &Story {
        &self.story
    }
}

impl Told for CallStory {
    fn story(&self) -> &Story {
        &self.story
    }
}

/// Explains again and again, at most so often, until each backend was chosen that may be: where that is by chance, each is one of the
/// answers.
fn possible<T: Told>(runs: usize, mut explain: impl FnMut() -> T) -> Vec<T> {
    let (mut stories, mut chosen) = (Vec::new(), BTreeSet::new());
    for _ in 0..runs {
        let told = explain();
        let is_certain = told.story().choice.is_none_or(Choice::is_certain);
        let candidates = told.story().candidates.len();
        if chosen.insert(told.story().event.backend_id) {
            stories.push(told);
        }
        if is_certain || chosen.len() == candidates {
            break;
        }
    }
    stories
}
