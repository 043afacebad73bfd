//! Overlays that talk to each other in memory and in virtual time.

#[cfg(test)]
mod amplification;
#[cfg(test)]
mod flood;
#[cfg(test)]
mod garbage;
#[cfg(test)]
mod garden;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod join_key;
#[cfg(test)]
mod lab;
#[cfg(test)]
mod lengths;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod reset;
#[cfg(test)]
mod segments;
#[cfg(test)]
mod sources;
#[cfg(test)]
mod timers;
#[cfg(test)]
mod tunnels;
