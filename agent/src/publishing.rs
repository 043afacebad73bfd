//! What an agent publishes and takes back: asked of the relay first, then kept and served.

use std::sync::Arc;

use bore_api::model::Lifetime;
use bore_api::wire::PublicationView;
use bore_policy::Target;

use crate::agent::Agent;
use crate::declaration::Declaration;
use crate::error::AgentError;
use crate::limits::{DECLARE_WAIT, PUBLICATIONS_MAX};
use crate::listener::Acceptor;
use crate::session::HERE;
use crate::targets::DialError;
use crate::{answers, registry, session, targets};

impl Agent {
    /// Publishes; answers when the relay has acknowledged and, if it is to stay, when it is on disk.
    ///
    /// # Errors
    /// The target is none, the relay refuses, or it cannot be reached in time.
    pub async fn publish(&self, declaration: Declaration) -> Result<PublicationView, AgentError> {
        let target = declaration.parse_target()?;
        if target == Target::InProcess {
            let (target, cause) = (declaration.target, targets::NO_PLACE);
            return Err(DialError::Unsuitable { target, cause }.into());
        }
        self.declare(declaration, target, None).await
    }

    /// The same for a target of either kind.
    pub(crate) async fn declare(
        &self,
        declaration: Declaration,
        target: Target,
        acceptor: Option<Arc<Acceptor>>,
    ) -> Result<PublicationView, AgentError> {
        self.refuse_itself(&target)?;
        self.refuse_one_too_many(declaration.name.as_deref())?;
        if let Some(name) =
            declaration.name.as_deref().filter(|name| self.keeps(name, &declaration))
        {
            return Err(AgentError::Kept { name: name.to_owned() });
        }
        let request = declaration.request(&target);
        let online = self.shared.online(DECLARE_WAIT).await?;
        let mut answer = session::publish(&online.control, &request).await;
        if matches!(answer, Err(AgentError::ControlUnreachable { .. }))
            && declaration.name.is_some()
        {
            // Asking again for the same name changes nothing if the first answer was only lost.
            let online = self.shared.online(DECLARE_WAIT).await?;
            answer = session::publish(&online.control, &request).await;
        }
        let view = self.acknowledged(answer?, &declaration, &target)?;
        let name = view.publication.name.clone();
        if self.keeps(&name, &declaration) {
            self.take_back(&name).await;
            return Err(AgentError::Kept { name });
        }
        let declaration = Declaration { name: Some(name.clone()), ..declaration };
        if let Err(error) = self.shared.keep(declaration, (target, acceptor), view.clone()).await {
            self.take_back(&name).await;
            return Err(error);
        }
        Ok(view)
    }

    /// Returns true if `name` is to stay, and `declaration` would end with the command that made it.
    fn keeps(&self, name: &str, declaration: &Declaration) -> bool {
        let registry = self.shared.registry();
        let before = registry.entry(name).map(|entry| entry.declaration.lifetime);
        (before, declaration.lifetime) == (Some(Lifetime::Persistent), Lifetime::Session)
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
        if let Err(error) = taken_back {
            tracing::warn!(%name, %error, "the relay keeps a publication that is not served");
        }
    }

    /// Takes a publication back.
    ///
    /// # Errors
    /// It was not declared here, or it is to stay and the relay cannot be told.
    pub async fn withdraw(&self, name: &str) -> Result<(), AgentError> {
        let lifetime = self.shared.registry().entry(name).map(|entry| entry.declaration.lifetime);
        match lifetime {
            None => Err(AgentError::NotDeclared(name.to_owned())),
            Some(Lifetime::Persistent) => {
                let online = self.shared.online(DECLARE_WAIT).await?;
                self.set_leaving(name, true);
                let removed = session::remove(&online.control, name).await;
                self.set_leaving(name, false);
                removed?;
                self.shared.forget(name, HERE);
                self.shared.save().await
            }
            Some(Lifetime::Session) => {
                self.shared.forget(name, HERE);
                // What the relay does not hear of is taken back when the next session opens.
                self.remove_if_online(name).await;
                Ok(())
            }
        }
    }

    fn set_leaving(&self, name: &str, is_leaving: bool) {
        if let Some(entry) = self.shared.registry().entry_mut(name) {
            entry.is_leaving = is_leaving;
        }
    }

    pub(crate) async fn remove_if_online(&self, name: &str) {
        let Some(control) = self.shared.control() else { return };
        if let Err(error) = session::remove(&control, name).await {
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
        let same = |entry: &registry::Entry| {
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
