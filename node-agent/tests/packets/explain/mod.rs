//! What is explained is what happens, and explaining changes nothing.

mod agreement;
mod calls;
mod random;
mod state;
mod world;
