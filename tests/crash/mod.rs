//! Crashes: every state that a crash may leave on a disk, and the product's own recovery from it.
//!
//! [`life`] lives a few lives of the product's recorder and engine on a simulated disk and notes
//! what was acknowledged when. [`states`] goes through the operations of the disk, makes the states
//! that a crash at each point may leave, and judges what the product makes of them. [`sabotage`]
//! breaks the order of writes, so that a test can see it found. [`kill`] kills the program itself.

pub mod kill;
pub mod life;
pub mod sabotage;
pub mod states;
