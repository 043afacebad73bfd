//! Each rule of the RFCs as a script: one stack, a peer whose every segment is written by hand, and an exact clock.
//!
//! A script reads from top to bottom: at which time the peer sends what, and what the stack answers at which time. Sequence numbers are
//! positions: 0 is the SYN, 1 the first byte. Round trips take 100 ms and a full segment has 1,000 bytes unless a script says otherwise.

#[cfg(test)]
mod closing;
#[cfg(test)]
mod congestion;
#[cfg(test)]
mod document;
#[cfg(test)]
mod forgery;
#[cfg(test)]
mod losses;
#[cfg(test)]
mod marks;
#[cfg(test)]
mod matrix;
#[cfg(test)]
mod model;
#[cfg(test)]
mod opening;
#[cfg(test)]
mod receiving;
#[cfg(test)]
mod script;
#[cfg(test)]
mod segment;
#[cfg(test)]
mod silence;
#[cfg(test)]
mod spurious;
#[cfg(test)]
mod timestamps;
#[cfg(test)]
mod windows;
