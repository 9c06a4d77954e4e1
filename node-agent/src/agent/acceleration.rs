//! What became of `spec.loadBalancer.acceleration`, for people. Pure.

use kpr_crds::Acceleration;

use crate::{
    datapath::{self, Report},
    observe::api::Feature,
};

/// As the datapath takes it.
pub(super) fn wanted(acceleration: Acceleration) -> datapath::Acceleration {
    match acceleration {
        Acceleration::Disabled => datapath::Acceleration::Disabled,
        Acceleration::BestEffort => datapath::Acceleration::BestEffort,
        Acceleration::Native => datapath::Acceleration::Native,
    }
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// XDP was not asked for.
    NotWanted,
    /// As many devices have XDP as were to have it: which, and how.
    Attached(String),
    /// Some that were to have it have it not: which, and why. tc serves them.
    NotAttached(String),
    /// The same of devices that need not have it.
    Unavailable(String),
}

/// What became of this wish.
pub fn outcome(acceleration: Acceleration, report: &Report) -> Outcome {
    if acceleration == Acceleration::Disabled {
        return Outcome::NotWanted;
    }
    if report.acceleration.is_empty() {
        let message = "no device here can have XDP: it is for devices with Ethernet headers that are no tunnels";
        return Outcome::Unavailable(message.to_owned());
    }
    let told = report.acceleration.iter().map(|device| match &device.mode {
        Ok(mode) => format!("{}: {}", device.device, mode.name()),
        Err(why) => format!("{}: none, {why}", device.device),
    });
    let told = told.collect::<Vec<_>>().join("; ");
    let lacks = |device: &datapath::Accelerated| device.mode.is_err();
    let (some, all) = (
        report.acceleration.iter().any(lacks),
        report.acceleration.iter().all(lacks),
    );
    match acceleration {
        Acceleration::Native if some => Outcome::NotAttached(told),
        Acceleration::BestEffort if all => Outcome::Unavailable(told),
        _ => Outcome::Attached(told),
    }
}

/// The same in `kpr status`.
pub(super) fn feature(acceleration: Acceleration, report: &Report) -> Feature {
    match outcome(acceleration, report) {
        Outcome::NotWanted => Feature::off("not asked for"),
        Outcome::Attached(told) => Feature::on_with(told),
        Outcome::NotAttached(told) if report.acceleration.iter().any(|device| device.mode.is_ok()) => {
            Feature::on_with(told)
        }
        Outcome::NotAttached(told) | Outcome::Unavailable(told) => Feature::off(told),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datapath::{Accelerated, XdpMode};

    #[test]
    fn each_wish_has_its_outcome_and_devices_say_how_and_why_not() {
        let device = |name: &str, mode: Result<XdpMode, &str>| Accelerated {
            device: name.to_owned(),
            mode: mode.map_err(str::to_owned),
        };
        let native = || device("eth0", Ok(XdpMode::Native));
        let generic = || device("eth1", Ok(XdpMode::Generic));
        let none = || device("eth2", Err("its driver has no XDP"));
        let attached = |told: &str| Outcome::Attached(told.to_owned());
        let why_not = "eth2: none, its driver has no XDP";
        for (wish, devices, expected, shown) in [
            (
                Acceleration::Disabled,
                vec![],
                Outcome::NotWanted,
                "Disabled (not asked for)".to_owned(),
            ),
            (
                Acceleration::Native,
                vec![native()],
                attached("eth0: native"),
                "Enabled (eth0: native)".to_owned(),
            ),
            (
                Acceleration::Native,
                vec![native(), none()],
                Outcome::NotAttached(format!("eth0: native; {why_not}")),
                format!("Enabled (eth0: native; {why_not})"),
            ),
            (
                Acceleration::Native,
                vec![none()],
                Outcome::NotAttached(why_not.to_owned()),
                format!("Disabled ({why_not})"),
            ),
            (
                Acceleration::BestEffort,
                vec![native(), generic(), none()],
                attached(&format!("eth0: native; eth1: generic; {why_not}")),
                format!("Enabled (eth0: native; eth1: generic; {why_not})"),
            ),
            (
                Acceleration::BestEffort,
                vec![none()],
                Outcome::Unavailable(why_not.to_owned()),
                format!("Disabled ({why_not})"),
            ),
        ] {
            let report = Report {
                acceleration: devices,
                ..Report::default()
            };
            assert_eq!(outcome(wish, &report), expected);
            assert_eq!(feature(wish, &report).to_string(), shown);
        }
    }
}
