//! One operation of the simulated API: how its handler is named and found.

use std::sync::Arc;

use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodFilter, MethodRouter, on};

use crate::shared::Shared;

/// The base path of the simulated API.
pub(crate) const API: &str = "/client/v4";

/// One operation: its method, its path as in the API description, and its handler.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) handler: MethodRouter<Arc<Shared>>,
}

impl Route {
    fn new<H, T>(method: Method, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<Shared>>,
        T: 'static,
    {
        let filter = MethodFilter::try_from(method.clone()).expect("only common methods are used below");
        Self {
            method,
            path,
            handler: on(filter, handler),
        }
    }

    pub(crate) fn get<H: Handler<T, Arc<Shared>>, T: 'static>(path: &'static str, handler: H) -> Self {
        Self::new(Method::GET, path, handler)
    }

    pub(crate) fn post<H: Handler<T, Arc<Shared>>, T: 'static>(path: &'static str, handler: H) -> Self {
        Self::new(Method::POST, path, handler)
    }

    pub(crate) fn put<H: Handler<T, Arc<Shared>>, T: 'static>(path: &'static str, handler: H) -> Self {
        Self::new(Method::PUT, path, handler)
    }

    pub(crate) fn patch<H: Handler<T, Arc<Shared>>, T: 'static>(path: &'static str, handler: H) -> Self {
        Self::new(Method::PATCH, path, handler)
    }

    pub(crate) fn delete<H: Handler<T, Arc<Shared>>, T: 'static>(path: &'static str, handler: H) -> Self {
        Self::new(Method::DELETE, path, handler)
    }
}
