//! Removing a clsact qdisc, which nothing else here can do.

use rtnetlink::packet_route::tc::{TcAttribute, TcHandle};

/// Why a qdisc could not be removed.
#[derive(Debug, thiserror::Error)]
pub enum QdiscError {
    /// No such device.
    #[error("no such device")]
    NoDevice(#[from] nix::errno::Errno),
    /// No netlink socket, or no thread for it.
    #[error("cannot open a netlink socket")]
    Open(#[from] std::io::Error),
    /// The kernel refused.
    #[error("the kernel refused")]
    Refused(#[from] rtnetlink::Error),
}

/// Removes the clsact qdisc of a device of this network namespace. Blocks for one netlink request: on a thread of its own,
/// because callers may or may not be inside a tokio runtime.
pub fn remove_clsact(device: &str) -> Result<(), QdiscError> {
    let ifindex = nix::net::if_::if_nametoindex(device)?;
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
                runtime.block_on(request(ifindex))
            })
            .join()
            .unwrap_or_else(|_| Err(std::io::Error::other("the netlink thread panicked").into()))
    })
}

async fn request(ifindex: u32) -> Result<(), QdiscError> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    let connection = tokio::spawn(connection);
    let mut request = handle.qdisc().del(ifindex.cast_signed());
    let message = request.message_mut();
    // `TC_H_CLSACT`, `TC_H_MAKE(TC_H_CLSACT, 0)` (include/uapi/linux/pkt_sched.h).
    message.header.parent = TcHandle::from(0xffff_fff1);
    message.header.handle = TcHandle::from(0xffff_0000);
    message.attributes.push(TcAttribute::Kind("clsact".into()));
    let result = request.execute().await;
    connection.abort();
    Ok(result?)
}
