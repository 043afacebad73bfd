//! Two stacks joined in memory, in virtual time: the relay's, which opens flows, and the agent's, which
//! accepts them.

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod closing;
#[cfg(test)]
mod fragments;
#[cfg(test)]
mod icmp;
#[cfg(test)]
mod lab;
#[cfg(test)]
mod opening;
#[cfg(test)]
mod path;
#[cfg(test)]
mod raw;
#[cfg(test)]
mod robustness;
#[cfg(test)]
mod runs;
#[cfg(test)]
mod scale;
#[cfg(test)]
mod transfer;
#[cfg(test)]
mod udp;
