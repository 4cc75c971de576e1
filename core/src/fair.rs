//! Fair value: what the touch says that one lot is worth, in ticks.

use crate::book::Touch;
use crate::units::Signal;

/// The middle of the touch.
pub fn mid(touch: &Touch) -> Signal {
    let _ = touch;
    unimplemented!()
}

/// The touch's prices weighted by the size of the opposite side: nearer to the side that is thin.
pub fn microprice(touch: &Touch) -> Signal {
    let _ = touch;
    unimplemented!()
}
