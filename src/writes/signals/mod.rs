//! What happens in the queue, told to those who wait for it in this process and in others. What is told only saves time: the
//! store is the truth.

mod ended;
mod new_work;

pub use ended::*;
pub use new_work::*;
