//! The client.

use std::{
    io::{self, ErrorKind},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use futures::future::join_all;
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use crate::{Answers, Greeting, Protocol, Question, greeting::REQUEST_BYTES};

/// How long one try may take.
const LIMIT: Duration = Duration::from_secs(2);
/// A datagram may get lost: after this long it is sent again.
const RESEND: Duration = Duration::from_millis(500);
/// Fewer tries say nothing of how reliably there are answers.
const LEAST: u32 = 10;
/// After so many failures in a row there is nothing more to learn.
const GIVE_UP: u32 = 3;

/// Asks all, at the same time, and returns what each met.
pub async fn ask_all(questions: &[Question]) -> Vec<Answers> {
    join_all(questions.iter().map(ask)).await
}

/// Asks until there are enough answers, no tries left, or nothing but failures.
pub async fn ask(question: &Question) -> Answers {
    let mut answers = Answers::default();
    let mut failures_in_a_row = 0;
    for tried in 1..=question.tries {
        match once(question.protocol, question.target).await {
            Ok(greeting) => {
                failures_in_a_row = 0;
                *answers.servers.entry(greeting.server).or_default() += 1;
                let client = greeting.client.ip().to_canonical();
                *answers.clients.entry(client).or_default() += 1;
            }
            Err(error) => {
                failures_in_a_row += 1;
                *answers.failures.entry(reason(&error)).or_default() += 1;
            }
        }
        let enough = question.enough.is_some_and(|enough| answers.servers.len() >= enough);
        if (enough && tried >= LEAST) || failures_in_a_row >= GIVE_UP {
            break;
        }
    }
    answers
}

async fn once(protocol: Protocol, target: SocketAddr) -> io::Result<Greeting> {
    let exchange = async {
        match protocol {
            Protocol::Tcp => over_tcp(target).await,
            Protocol::Udp => over_udp(target).await,
        }
    };
    let line = timeout(LIMIT, exchange)
        .await
        .map_err(|_elapsed| ErrorKind::TimedOut)??;
    Greeting::parse(&line).ok_or_else(|| io::Error::other("answered by something else"))
}

async fn over_tcp(target: SocketAddr) -> io::Result<Vec<u8>> {
    let stream = TcpStream::connect(target).await?;
    let mut line = Vec::new();
    let most = u64::try_from(REQUEST_BYTES).unwrap_or(u64::MAX);
    stream.take(most).read_to_end(&mut line).await?;
    Ok(line)
}

async fn over_udp(target: SocketAddr) -> io::Result<Vec<u8>> {
    let any = match target {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(target).await?;
    let mut line = vec![0; REQUEST_BYTES];
    // Ends with the limit of the try.
    loop {
        socket.send(&[0; REQUEST_BYTES]).await?;
        if let Ok(received) = timeout(RESEND, socket.recv(&mut line)).await {
            line.truncate(received?);
            return Ok(line);
        }
    }
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => Answers::REFUSED.to_owned(),
        ErrorKind::TimedOut => Answers::TIMED_OUT.to_owned(),
        ErrorKind::ConnectionReset => "reset".to_owned(),
        ErrorKind::HostUnreachable => "host unreachable".to_owned(),
        ErrorKind::NetworkUnreachable => "network unreachable".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::Server;

    fn question(protocol: Protocol, target: SocketAddr) -> Question {
        Question {
            protocol,
            target,
            tries: 4,
            enough: None,
        }
    }

    async fn server(name: &str) -> (SocketAddr, tokio::task::JoinHandle<()>) {
        let server = Server::bind(name.to_owned(), Some(0)).await.expect("a port is free");
        let port = server.port().expect("it listens");
        let target = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        (target, tokio::spawn(server.run()))
    }

    #[tokio::test]
    async fn a_server_says_over_both_protocols_who_it_is_and_whom_it_sees() {
        let (target, _running) = server("server-0").await;
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let answers = ask(&question(protocol, target)).await;
            let expected = Answers {
                servers: [("server-0".to_owned(), 4)].into(),
                clients: [(target.ip(), 4)].into(),
                failures: [].into(),
            };
            assert_eq!(answers, expected, "{protocol}");
        }
    }

    #[tokio::test]
    async fn once_enough_servers_have_answered_there_are_no_more_tries_than_a_few() {
        let (target, _running) = server("server-0").await;
        let mut question = question(Protocol::Tcp, target);
        question.tries = 2 * LEAST;
        question.enough = Some(1);
        assert_eq!(ask(&question).await.answered(), LEAST);
        question.enough = Some(2);
        assert_eq!(ask(&question).await.answered(), 2 * LEAST);
    }

    #[tokio::test]
    async fn nobody_refuses_and_silence_times_out_and_both_are_given_up_soon() {
        let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
        let mut unanswered = question(Protocol::Udp, silent.local_addr().expect("bound"));
        unanswered.tries = 1;
        let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
        let refused = closed.local_addr().expect("bound");
        drop(closed);
        let answers = ask_all(&[
            unanswered,
            question(Protocol::Tcp, refused),
            question(Protocol::Udp, refused),
        ])
        .await;
        let failures: Vec<_> = answers.into_iter().map(|answers| answers.failures).collect();
        let refused = [(Answers::REFUSED.to_owned(), GIVE_UP)];
        assert_eq!(
            failures,
            [
                [(Answers::TIMED_OUT.to_owned(), 1)].into(),
                refused.clone().into(),
                refused.into()
            ]
        );
    }

    #[tokio::test]
    async fn a_server_does_not_answer_with_more_than_it_was_asked_with() {
        let (target, _running) = server("server-0").await;
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
        socket.connect(target).await.expect("connected");
        let mut answer = [0; REQUEST_BYTES];
        socket.send(b"short").await.expect("sent");
        socket.send(&[0; REQUEST_BYTES]).await.expect("sent");
        let received = socket.recv(&mut answer).await.expect("an answer");
        assert!(Greeting::parse(&answer[..received]).is_some());
        assert!(
            socket.try_recv(&mut answer).is_err(),
            "datagrams are answered in their order: the short one was not"
        );
    }

    #[tokio::test]
    async fn somebody_else_who_answers_is_a_failure() {
        let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
        let target = other.local_addr().expect("bound");
        let speak = async {
            for _try in 0..GIVE_UP {
                let (stream, _client) = other.accept().await.expect("a client");
                stream.try_write(b"220 mail ready\r\n").expect("written");
            }
        };
        let question = question(Protocol::Tcp, target);
        let (answers, ()) = tokio::join!(ask(&question), speak);
        assert_eq!(
            answers.failures,
            [("answered by something else".to_owned(), GIVE_UP)].into()
        );
    }
}
