//! What stands between the agent and the API server, so that only the agent is measured: it answers lists of Services and
//! EndpointSlices from memory, holds them back until it is told to let them go, and writes events of EndpointSlices straight into the
//! agent's connection. Everything else goes on to the API server.

use std::{
    collections::HashMap,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd as _,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

/// How long the agent may take to ask.
const PATIENCE: Duration = Duration::from_mins(1);
/// What is answered from memory.
const SERVICES: &str = "/api/v1/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";

/// The objects of a kind, as the API server writes them.
pub(super) struct Kind {
    /// `apiVersion` of the list.
    pub(super) api_version: &'static str,
    /// `kind` of the list.
    pub(super) list: &'static str,
    /// Each as JSON.
    pub(super) items: Vec<String>,
}

/// A listener, served until it is dropped.
pub(super) struct Front {
    shared: Arc<Shared>,
    listener: TcpListener,
    address: SocketAddr,
}

struct Shared {
    upstream: SocketAddr,
    services: Kind,
    slices: Kind,
    /// Pages, by what was asked for: they are put together once.
    pages: Mutex<HashMap<String, Arc<str>>>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Lists wait.
    held: bool,
    /// How many of them do.
    waiting: u32,
    /// The agent's watch of EndpointSlices.
    watch: Option<TcpStream>,
    /// How much was sent of lists.
    listed: u64,
}

impl Front {
    /// Serves at `listener`, before the API server at `upstream`.
    pub(super) fn start(listener: TcpListener, upstream: SocketAddr, [services, slices]: [Kind; 2]) -> Result<Self> {
        let shared = Arc::new(Shared {
            upstream,
            services,
            slices,
            pages: Mutex::default(),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let address = listener.local_addr()?;
        let (accepting, served) = (listener.try_clone()?, Arc::clone(&shared));
        thread::spawn(move || {
            for connection in accepting.incoming() {
                let Ok(connection) = connection else { return };
                let shared = Arc::clone(&served);
                // A connection that breaks is the agent's to make again.
                thread::spawn(move || drop(shared.serve(&connection)));
            }
        });
        Ok(Self {
            shared,
            listener,
            address,
        })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lists wait until they are let go; nobody watches.
    pub(super) fn hold(&self) {
        *self.shared.state() = State {
            held: true,
            ..State::default()
        };
    }

    /// Waits until the agent has asked for both kinds.
    pub(super) fn asked(&self) -> Result<()> {
        let both = |state: &State| state.waiting >= 2;
        self.shared.wait("ask for Services and EndpointSlices", both).map(drop)
    }

    /// Lets lists go.
    pub(super) fn release(&self) -> Instant {
        let now = Instant::now();
        self.shared.state().held = false;
        self.shared.changed.notify_all();
        now
    }

    /// How many bytes of lists the agent has got.
    pub(super) fn listed(&self) -> u64 {
        self.shared.state().listed
    }

    /// Waits until the agent watches EndpointSlices.
    pub(super) fn watched(&self) -> Result<()> {
        let watches = |state: &State| state.watch.is_some();
        self.shared.wait("watch EndpointSlices", watches).map(drop)
    }

    /// Sends the agent an event, a line of JSON. Returns when it began to be sent.
    pub(super) fn send(&self, event: &str) -> Result<Instant> {
        let mut state = self.shared.state();
        let watch = state.watch.as_mut().context("the agent watches no EndpointSlices")?;
        let chunk = format!("{:x}\r\n{event}\n\r\n", event.len() + 1);
        let now = Instant::now();
        watch.write_all(chunk.as_bytes()).context("send an event")?;
        Ok(now)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        // Who waits for a connection hears of it.
        let _ = nix::sys::socket::shutdown(self.listener.as_raw_fd(), nix::sys::socket::Shutdown::Both);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, what: &str, is: impl Fn(&State) -> bool) -> Result<MutexGuard<'_, State>> {
        let (state, timeout) = self
            .changed
            .wait_timeout_while(self.state(), PATIENCE, |state| !is(state))
            .unwrap_or_else(PoisonError::into_inner);
        ensure!(!timeout.timed_out(), "the agent does not {what}");
        Ok(state)
    }

    /// Answers what comes over a connection.
    fn serve(&self, connection: &TcpStream) -> Result<()> {
        connection.set_nodelay(true)?;
        let mut reader = BufReader::new(connection.try_clone()?);
        while let Some(request) = Request::read(&mut reader)? {
            let path = request.target.split('?').next().unwrap_or_default();
            let kind = match path {
                SERVICES => &self.services,
                SLICES => &self.slices,
                _ => return self.pass_on(connection, &request),
            };
            if request.parameter("watch").is_some() {
                return self.watch(connection, reader, path == SLICES);
            }
            self.list(connection, &request, kind)?;
        }
        Ok(())
    }

    fn list(&self, mut connection: &TcpStream, request: &Request, kind: &Kind) -> Result<()> {
        let body = self.page(request, kind)?;
        self.state().waiting += 1;
        self.changed.notify_all();
        let mut state = self.wait_for_release();
        state.listed += body.len() as u64;
        drop(state);
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        connection.write_all(head.as_bytes())?;
        connection.write_all(body.as_bytes())?;
        Ok(())
    }

    /// A page of a list. What it is continued by is the number of the next object.
    fn page(&self, request: &Request, kind: &Kind) -> Result<Arc<str>> {
        let pages = || self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(page) = pages().get(&request.target) {
            return Ok(Arc::clone(page));
        }
        let number = |name, default: usize| request.parameter(name).map_or(Ok(default), str::parse);
        let (from, limit) = (number("continue", 0)?, number("limit", usize::MAX)?);
        let until = from.saturating_add(limit).min(kind.items.len());
        let items = kind.items.get(from..until).context("a page beyond the end")?;
        let next = if until < kind.items.len() {
            until.to_string()
        } else {
            String::new()
        };
        let page: Arc<str> = format!(
            r#"{{"kind":"{}","apiVersion":"{}","metadata":{{"resourceVersion":"1000000","continue":"{next}"}},"items":[{}]}}"#,
            kind.list,
            kind.api_version,
            items.join(",")
        )
        .into();
        pages().insert(request.target.clone(), Arc::clone(&page));
        Ok(page)
    }

    fn wait_for_release(&self) -> MutexGuard<'_, State> {
        self.changed
            .wait_while(self.state(), |state| state.held)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the connection, for events if there are any, until the agent closes it.
    fn watch(&self, mut connection: &TcpStream, mut reader: BufReader<TcpStream>, events: bool) -> Result<()> {
        connection
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")?;
        if events {
            self.state().watch = Some(connection.try_clone()?);
            self.changed.notify_all();
        }
        io::copy(&mut reader, &mut io::sink())?;
        Ok(())
    }

    /// Relays the API server's answer, and closes: the next request may be one to answer here.
    fn pass_on(&self, mut connection: &TcpStream, request: &Request) -> Result<()> {
        let mut upstream = self.ask(request)?;
        let (mut client, closing) = (connection.try_clone()?, upstream.try_clone()?);
        // A watch ends when the agent goes.
        thread::spawn(move || {
            let _ = io::copy(&mut client, &mut io::sink());
            let _ = closing.shutdown(Shutdown::Both);
        });
        io::copy(&mut upstream, &mut connection)?;
        connection.shutdown(Shutdown::Both)?;
        Ok(())
    }

    fn ask(&self, request: &Request) -> Result<TcpStream> {
        let mut upstream = TcpStream::connect(self.upstream).context("connect to the API server")?;
        let Request { method, target, .. } = request;
        let head: String = request.head.iter().flat_map(|line| [line.as_str(), "\r\n"]).collect();
        let text = format!("{method} {target} HTTP/1.1\r\n{head}connection: close\r\n\r\n");
        upstream.write_all(text.as_bytes())?;
        upstream.write_all(&request.body)?;
        Ok(upstream)
    }
}

/// A request whose body has a length.
struct Request {
    method: String,
    target: String,
    /// The other lines, but for what they say of the connection.
    head: Vec<String>,
    body: Vec<u8>,
}

impl Request {
    /// A parameter of the query, as it is written there.
    fn parameter(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        let mut parameters = query.split('&').filter_map(|parameter| parameter.split_once('='));
        parameters.find_map(|(own, value)| (own == name).then_some(value))
    }

    /// The next one; none if the connection ends.
    fn read(reader: &mut BufReader<TcpStream>) -> Result<Option<Self>> {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split(' ');
        let (method, target) = words.next().zip(words.next()).context("a request without a target")?;
        let mut request = Self {
            method: method.to_owned(),
            target: target.to_owned(),
            head: Vec::new(),
            body: Vec::new(),
        };
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let line = line.trim_end();
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse()?;
            }
            if !name.eq_ignore_ascii_case("connection") {
                request.head.push(line.to_owned());
            }
        }
        request.body = vec![0; length];
        reader.read_exact(&mut request.body)?;
        Ok(Some(request))
    }
}
