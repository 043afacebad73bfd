//! What an agent publishes and takes back: asked of the relay first, then kept and served.
//!
//! Changes of one name have their turns in the order of the calls ([`crate::turns`]), and each is carried to its end whether its caller waits or not: what
//! the relay has and what is declared here are the same afterwards.

use std::future::Future;

use bore_api::model::Lifetime;
use bore_api::wire::{PublicationView, PublishRequest};
use bore_policy::Target;

use crate::agent::Agent;
use crate::declaration::Declaration;
use crate::error::AgentError;
use crate::limits::{DECLARE_WAIT, PUBLICATIONS_MAX};
use crate::registry::{Entry, Served};
use crate::session::HERE;
use crate::targets::DialError;
use crate::{answers, session, targets};

impl Agent {
    /// Publishes; answers when the relay has acknowledged and, if it is to stay, when it is on disk. Goes on to its end also when the future is dropped.
    ///
    /// # Errors
    /// The target is none, the relay refuses, or it cannot be reached in time. A listener of the program has the name, and [`Declaration::replace`] is not
    /// set (`B2102`).
    pub async fn publish(&self, declaration: Declaration) -> Result<PublicationView, AgentError> {
        let target = declaration.parse_target()?;
        if target == Target::InProcess {
            let (target, cause) = (declaration.target, targets::NO_PLACE);
            return Err(DialError::Unsuitable { target, cause }.into());
        }
        to_the_end(self.declare(declaration, target.into())).await
    }

    /// The same for a target of either kind. Its place among those of the name is taken by the call.
    pub(crate) fn declare(
        &self,
        declaration: Declaration,
        served: Served,
    ) -> impl Future<Output = Result<PublicationView, AgentError>> + Send + use<> {
        let place = declaration.name.as_deref().map(|name| self.shared.turns.queue(name));
        let agent = self.clone();
        // Callers hold it where futures should be small.
        Box::pin(async move {
            let Some(place) = place else {
                return agent.declare_unnamed(declaration, served).await;
            };
            let _turn = place.await;
            agent.refuse(&declaration, &served)?;
            let request = declaration.request(&served.target);
            let view = agent.ask(&request, &declaration, &served).await?;
            agent.keep(declaration, served, view).await
        })
    }

    /// The relay finds a name first. Where another has it here as well, it is asked again in its turn.
    async fn declare_unnamed(
        &self,
        declaration: Declaration,
        served: Served,
    ) -> Result<PublicationView, AgentError> {
        self.refuse(&declaration, &served)?;
        let request = declaration.request(&served.target);
        let online = self.shared.online(DECLARE_WAIT).await?;
        let finding = self.shared.finding.read().await;
        let answer = self.asked(session::publish(&online.control, &request).await);
        let view = self.acknowledged(answer?, &declaration, &served.target)?;
        let name = view.publication.name.clone();
        let declaration = Declaration { name: Some(name.clone()), ..declaration };
        let is_new = self.shared.registry().entry(&name).is_none();
        if let Some(_turn) = self.shared.turns.take(&name).filter(|_| is_new) {
            return self.keep(declaration, served, view).await;
        }
        let _turn = self.shared.turns.queue(&name).await;
        drop(finding);
        if let Err(refused) = self.refuse(&declaration, &served) {
            self.take_back(&name).await;
            return Err(refused);
        }
        let request = declaration.renewal(&served.target, &view);
        let view = self.ask(&request, &declaration, &served).await?;
        self.keep(declaration, served, view).await
    }

    /// Asks the relay for a name that is given.
    async fn ask(
        &self,
        request: &PublishRequest,
        declaration: &Declaration,
        served: &Served,
    ) -> Result<PublicationView, AgentError> {
        let online = self.shared.online(DECLARE_WAIT).await?;
        let mut answer = session::publish(&online.control, request).await;
        if matches!(answer, Err(AgentError::ControlUnreachable { .. })) {
            // Asking again for the same name changes nothing if the first answer was only lost.
            let online = self.shared.online(DECLARE_WAIT).await?;
            answer = session::publish(&online.control, request).await;
        }
        self.acknowledged(self.asked(answer)?, declaration, &served.target)
    }

    /// What was asked for without an answer, the relay may have done.
    fn asked<T>(&self, answer: Result<T, AgentError>) -> Result<T, AgentError> {
        if matches!(answer, Err(AgentError::ControlUnreachable { .. })) {
            self.shared.doubt_leftovers();
        }
        answer
    }

    async fn keep(
        &self,
        declaration: Declaration,
        served: Served,
        view: PublicationView,
    ) -> Result<PublicationView, AgentError> {
        let kept = self.shared.keep(declaration, served, view.clone()).await;
        if let Err(error) = kept {
            self.take_back(&view.publication.name).await;
            return Err(error);
        }
        Ok(view)
    }

    /// Refuses what this agent cannot serve, and what would take along another's.
    fn refuse(&self, declaration: &Declaration, served: &Served) -> Result<(), AgentError> {
        self.refuse_itself(&served.target)?;
        self.refuse_one_too_many(declaration.name.as_deref())?;
        let registry = self.shared.registry();
        let Some(name) = declaration.name.clone() else {
            // The relay finds the name of one without by its protocol and target, which are those of every other listener.
            let is_it = |entry: &Entry| {
                served.acceptor.is_some()
                    && entry.is_listened_to()
                    && entry.declaration.protocol == declaration.protocol
            };
            let listener = registry.entries().find(|(_, entry)| is_it(entry));
            return listener
                .map_or(Ok(()), |(name, _)| Err(AgentError::Listening { name: name.clone() }));
        };
        let Some(before) = registry.entry(&name) else { return Ok(()) };
        let stays = before.declaration.lifetime == Lifetime::Persistent;
        if stays && declaration.lifetime == Lifetime::Session {
            Err(AgentError::Kept { name })
        } else if declaration.replace {
            Ok(())
        } else if before.is_listened_to() {
            Err(AgentError::Listening { name })
        } else if before.acceptor.is_none() && served.acceptor.is_some() {
            Err(AgentError::Published { name })
        } else {
            Ok(())
        }
    }

    /// Has the relay publish under `name` what is declared here: a new declaration could not be kept.
    async fn take_back(&self, name: &str) {
        let Some(control) = self.shared.control() else { return };
        let before = self.shared.registry().entry(name).cloned();
        let taken_back = match before.as_ref().and_then(|entry| Some((entry, entry.view.as_ref()?)))
        {
            Some((entry, view)) => {
                let before = entry.declaration.renewal(&entry.target, view);
                let answer = session::publish(&control, &before).await;
                let answer = answer.and_then(|view| {
                    answers::acknowledged(view, &entry.declaration, &entry.target)
                });
                answer.map(|view| {
                    self.shared.renew(name, view);
                    // To the relay it was another one for a moment, and has nothing proved.
                    self.shared.report_target(name);
                })
            }
            None => session::remove(&control, name).await,
        };
        if let Err(error) = self.asked(taken_back) {
            tracing::warn!(%name, %error, "the relay keeps a publication that is not served");
        }
    }

    /// Takes a publication back. Goes on to its end also when the future is dropped.
    ///
    /// # Errors
    /// It was not declared here, or it is to stay and the relay cannot be told.
    pub async fn withdraw(&self, name: &str) -> Result<(), AgentError> {
        to_the_end(self.withdraw_if(name, |_| true)).await
    }

    /// The same if `is_meant` says so of what is declared then. Its place among those of the name is taken by the call.
    pub(crate) fn withdraw_if<F>(
        &self,
        name: &str,
        is_meant: F,
    ) -> impl Future<Output = Result<(), AgentError>> + Send + use<F>
    where
        F: FnOnce(&Entry) -> bool + Send,
    {
        let place = self.shared.turns.queue(name);
        let (agent, name) = (self.clone(), name.to_owned());
        async move {
            let _turn = place.await;
            let is_meant = agent.shared.registry().entry(&name).map(is_meant);
            match is_meant {
                None => Err(AgentError::NotDeclared(name)),
                Some(true) => agent.withdraw_now(&name).await,
                Some(false) => Ok(()),
            }
        }
    }

    async fn withdraw_now(&self, name: &str) -> Result<(), AgentError> {
        let lifetime = self.shared.registry().entry(name).map(|entry| entry.declaration.lifetime);
        if lifetime == Some(Lifetime::Session) {
            self.shared.forget(name, HERE);
            // What the relay does not hear of is taken back later.
            self.remove_if_online(name).await;
            return Ok(());
        }
        let online = self.shared.online(DECLARE_WAIT).await?;
        self.set_leaving(name, true);
        let removed = session::remove(&online.control, name).await;
        self.set_leaving(name, false);
        removed?;
        self.shared.forget(name, HERE);
        self.shared.save().await
    }

    fn set_leaving(&self, name: &str, is_leaving: bool) {
        if let Some(entry) = self.shared.registry().entry_mut(name) {
            entry.is_leaving = is_leaving;
        }
    }

    pub(crate) async fn remove_if_online(&self, name: &str) {
        let Some(control) = self.shared.control() else { return };
        if let Err(error) = self.asked(session::remove(&control, name).await) {
            tracing::debug!(%name, %error, "the relay was not told");
        }
    }

    /// A name that the relay found is a new one, or that of the same target.
    fn acknowledged(
        &self,
        view: PublicationView,
        declaration: &Declaration,
        target: &Target,
    ) -> Result<PublicationView, AgentError> {
        let view = answers::acknowledged(view, declaration, target)?;
        let registry = self.shared.registry();
        let same = |entry: &Entry| {
            entry.declaration.protocol == declaration.protocol && entry.target == *target
        };
        if declaration.name.is_some() || registry.entry(&view.publication.name).is_none_or(same) {
            return Ok(view);
        }
        Err(AgentError::Distrusted { what: "name" })
    }

    /// A visitor of the socket of the local API would rule this agent.
    fn refuse_itself(&self, target: &Target) -> Result<(), AgentError> {
        let place = targets::place(target, 0)?;
        if place.is_socket_at(&self.shared.folder.socket()) {
            let (target, cause) = (target.to_string(), "it is this agent's own socket");
            return Err(DialError::Unsuitable { target, cause }.into());
        }
        Ok(())
    }

    fn refuse_one_too_many(&self, name: Option<&str>) -> Result<(), AgentError> {
        let registry = self.shared.registry();
        let replaces = name.is_some_and(|name| registry.entry(name).is_some());
        if registry.len() < PUBLICATIONS_MAX || replaces {
            return Ok(());
        }
        Err(AgentError::TooManyPublications { max: PUBLICATIONS_MAX })
    }
}

/// Does `work` to its end also when nobody waits for it any more.
pub(crate) async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, AgentError>> + Send + 'static,
) -> Result<T, AgentError> {
    let done = tokio::spawn(work).await;
    done.map_err(|error| AgentError::Internal(error.to_string()))?
}

#[cfg(test)]
mod tests;
