//! Sending a call: signed where it must be, on a connection that is free.

use keel_core::units::{MonoNanos, UnixNanos};

use super::Call;
use crate::bitget::sign::{Credentials, DEMO};
use crate::proto::http::{Client, Request, RequestError};

impl Call {
    /// Begins this call on `client`. `utc` is the venue's time; a call that must be signed and has
    /// no credentials is refused as malformed.
    ///
    /// # Errors
    /// See [`RequestError`]; nothing was sent then.
    pub fn send(
        &self,
        client: &mut Client,
        host: &str,
        credentials: Option<&Credentials>,
        utc: UnixNanos,
        now: MonoNanos,
    ) -> Result<(), RequestError> {
        let signed = match (self.signed, credentials) {
            (false, _) => None,
            (true, Some(key)) => {
                Some(key.headers(self.method, self.path, &self.query, &self.body, utc))
            }
            (true, None) => return Err(RequestError::Malformed),
        };
        // What need not be signed is asked of demo trading, too.
        let unsigned = credentials.filter(|key| key.is_demo()).map(|_| DEMO).into_iter().collect();
        let headers = signed.as_ref().map_or(unsigned, |signed| signed.list());
        let request = Request {
            method: self.method,
            host,
            path: self.path,
            query: &self.query,
            headers: &headers,
            body: self.body.as_bytes(),
        };
        client.request(&request, now)
    }
}
