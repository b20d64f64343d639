//! A thin layer around each route that times it.
//!
//! It boxes nothing and resolves each histogram once: per request it costs two clock readings and a few atomic
//! additions. The refusal's type travels in the response's extensions (see [`crate::problem`]).

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use axum::response::Response;
use pin_project_lite::pin_project;
use prometheus::{Histogram, IntGauge};
use tower::{Layer, Service};

use crate::metrics::Metrics;
use crate::problem::Kind;

/// The classes of status, as labels.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// The routes whose histograms are there from the start, so that the first failure after a quiet time is seen as a rise. Those of all
/// others come with their first answer: each is 17 lines of every scrape.
const WATCHED: [&str; 3] = ["/v1/orders", "/v1/messages", "/v1/events"];

/// Times one route.
#[derive(Clone, Debug)]
pub(crate) struct Measure(Arc<Route>);

#[derive(Debug)]
struct Route {
    metrics: Arc<Metrics>,
    pattern: String,
    /// For each class of status from 1xx to 5xx, once there was an answer of it.
    classes: [OnceLock<Histogram>; 5],
}

impl Measure {
    /// Times the route with this pattern.
    pub(crate) fn new(metrics: &Arc<Metrics>, route: &str) -> Self {
        let measure = Route {
            metrics: Arc::clone(metrics),
            pattern: route.to_owned(),
            classes: Default::default(),
        };
        if WATCHED.contains(&route) {
            for class in [2, 4, 5] {
                measure.histogram(class);
            }
        }
        Self(Arc::new(measure))
    }
}

impl Route {
    /// Returns the histogram of a class of status, of 1 to 5.
    fn histogram(&self, class: usize) -> Option<&Histogram> {
        let (histogram, name) = self
            .classes
            .get(class.wrapping_sub(1))
            .zip(CLASSES.get(class.wrapping_sub(1)))?;
        Some(histogram.get_or_init(|| self.metrics.route(&self.pattern, name)))
    }
}

impl<S> Layer<S> for Measure {
    type Service = Measured<S>;

    fn layer(&self, inner: S) -> Measured<S> {
        Measured {
            inner,
            route: Arc::clone(&self.0),
        }
    }
}

/// A route with its times.
#[derive(Clone, Debug)]
pub(crate) struct Measured<S> {
    inner: S,
    route: Arc<Route>,
}

impl<S, R> Service<R> for Measured<S>
where
    S: Service<R, Response = Response>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Timed<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Timed<S::Future> {
        Timed {
            in_flight: InFlight::begin(&self.route.metrics.in_flight),
            since: Instant::now(),
            route: Arc::clone(&self.route),
            inner: self.inner.call(request),
        }
    }
}

pin_project! {
    /// An answer in the making.
    pub(crate) struct Timed<F> {
        #[pin]
        inner: F,
        route: Arc<Route>,
        since: Instant,
        in_flight: InFlight,
    }
}

/// Counts one request in flight until it is answered, or dropped because its client went away.
struct InFlight(IntGauge);

impl InFlight {
    fn begin(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl<F, E> Future for Timed<F>
where
    F: Future<Output = Result<Response, E>>,
{
    type Output = Result<Response, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.inner.poll(cx));
        if let Ok(response) = &answer {
            let class = usize::from(response.status().as_u16() / 100);
            if let Some(histogram) = this.route.histogram(class) {
                histogram.observe(this.since.elapsed().as_secs_f64());
            }
            if let Some(kind) = response.extensions().get::<Kind>() {
                this.route.metrics.refuse(*kind);
            }
        }
        Poll::Ready(answer)
    }
}
