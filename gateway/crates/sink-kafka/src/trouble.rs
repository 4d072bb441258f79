//! What the sink waits for, told apart by a stable code: who is on call must see from the status
//! whether it is the brokers, the login, a leader or a quota.
//!
//! Nothing here halts: what a person must decide is in `error`.

use rdkafka::error::RDKafkaErrorCode;

/// How the text begins that says that nobody answers.
pub(crate) const NO_ANSWER: &str = "no broker answers";

/// The library's own words for a broker that is not reached, where only they are at hand.
const LOST: [&str; 4] = [
    "Local: Broker transport failure",
    "Local: All broker connections are down",
    "Local: Host resolution failure",
    "Local: Timed out",
];

/// Why the sink waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitReason {
    /// No broker can be reached, or none answers.
    Unreachable,
    /// The brokers refuse user, password or token.
    Login,
    /// TLS fails: a certificate that is not trusted, or the client's own, which is missing.
    Tls,
    /// A token for OAUTHBEARER cannot be had.
    Token,
    /// A partition has no leader.
    NoLeader,
    /// Fewer copies of a partition are in sync than the topic asks for.
    NotInSync,
    /// The brokers answer, but acknowledge nothing.
    Silent,
    /// The schema registry cannot be reached, or gives no answer for now.
    Registry,
    /// Anything else; the text says it.
    Other,
}

impl WaitReason {
    /// All of them, for metrics.
    pub const ALL: [WaitReason; 9] = [
        WaitReason::Unreachable,
        WaitReason::Login,
        WaitReason::Tls,
        WaitReason::Token,
        WaitReason::NoLeader,
        WaitReason::NotInSync,
        WaitReason::Silent,
        WaitReason::Registry,
        WaitReason::Other,
    ];

    /// Stable code.
    pub fn code(self) -> &'static str {
        match self {
            WaitReason::Unreachable => "KAFKA_UNREACHABLE",
            WaitReason::Login => "KAFKA_LOGIN",
            WaitReason::Tls => "KAFKA_TLS",
            WaitReason::Token => "KAFKA_TOKEN",
            WaitReason::NoLeader => "KAFKA_NO_LEADER",
            WaitReason::NotInSync => "KAFKA_NOT_IN_SYNC",
            WaitReason::Silent => "KAFKA_SILENT",
            WaitReason::Registry => "KAFKA_REGISTRY",
            WaitReason::Other => "KAFKA_WAITING",
        }
    }

    /// What an operator can do.
    pub fn next_step(self) -> &'static str {
        match self {
            WaitReason::Unreachable => {
                "start the brokers, or check [kafka] brokers and the network; it goes on by itself"
            }
            WaitReason::Login => {
                "check sasl.mechanisms, sasl.username and sasl.password (or [kafka.oauth]) against \
                 the brokers' users; it goes on by itself once they let it in"
            }
            WaitReason::Tls => {
                "check security.protocol, ssl.ca.location and, where the brokers want a client \
                 certificate, ssl.certificate.location and ssl.key.location in [kafka] properties"
            }
            WaitReason::Token => {
                "check [kafka.oauth] and the endpoint or file that it names; it is asked again by \
                 itself"
            }
            WaitReason::NoLeader => {
                "start the brokers that hold the partition's copies; it goes on by itself"
            }
            WaitReason::NotInSync => {
                "start the brokers that hold the other copies, or lower the topic's \
                 min.insync.replicas; it goes on by itself"
            }
            WaitReason::Silent => "see the brokers' logs; it goes on by itself",
            WaitReason::Registry => {
                "start the schema registry, or check [kafka.registry] and the network; it goes on \
                 by itself"
            }
            WaitReason::Other => "it goes on by itself when the cause has passed",
        }
    }

    /// Whether it says more than that somebody is not reached: such a cause is not forgotten over
    /// the broken connections that follow from it.
    pub(crate) fn is_specific(self) -> bool {
        matches!(self, WaitReason::Login | WaitReason::Tls | WaitReason::Token)
    }

    /// What an error of the client library means, by its code and text.
    pub(crate) fn of(code: Option<RDKafkaErrorCode>, text: &str) -> WaitReason {
        use RDKafkaErrorCode as Code;
        // A broker that wants a client certificate says so only after the handshake, as an alert.
        if text.contains("OAUTHBEARER token") {
            return WaitReason::Token;
        }
        if text.contains("SASL authentication error") {
            return WaitReason::Login;
        }
        let tls = ["SSL handshake failed", "SSL alert number"];
        if tls.iter().any(|sign| text.contains(sign)) {
            return WaitReason::Tls;
        }
        match code {
            Some(Code::Authentication | Code::SaslAuthenticationFailed) => WaitReason::Login,
            Some(Code::SSL) => WaitReason::Tls,
            Some(Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend) => {
                WaitReason::NotInSync
            }
            Some(Code::LeaderNotAvailable) => WaitReason::NoLeader,
            Some(
                Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::Resolve
                | Code::OperationTimedOut
                | Code::RequestTimedOut
                | Code::NetworkException
                | Code::BrokerNotAvailable,
            ) => WaitReason::Unreachable,
            _ if text.starts_with(NO_ANSWER) => WaitReason::Unreachable,
            None if LOST.iter().any(|sign| text.contains(sign)) => WaitReason::Unreachable,
            _ => WaitReason::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_librarys_errors_are_told_apart() {
        use RDKafkaErrorCode as Code;
        for (code, text, expected) in [
            (Code::Authentication, "SASL authentication error", WaitReason::Login),
            (Code::Authentication, "Failed to acquire SASL OAUTHBEARER token", WaitReason::Token),
            (Code::SSL, "certificate verify failed", WaitReason::Tls),
            (Code::BrokerTransportFailure, "ssl://x: SSL handshake failed: y", WaitReason::Tls),
            (Code::BrokerTransportFailure, "Receive failed: SSL alert number 42", WaitReason::Tls),
            (Code::BrokerTransportFailure, "connect refused", WaitReason::Unreachable),
            (Code::AllBrokersDown, "1/1 brokers are down", WaitReason::Unreachable),
            (Code::Unknown, "no broker answers: x", WaitReason::Unreachable),
            (Code::Unknown, "else", WaitReason::Other),
        ] {
            assert_eq!(WaitReason::of(Some(code), text), expected, "{text}");
        }
    }

    #[test]
    fn a_code_as_text_is_told_apart_too() {
        for code in [RDKafkaErrorCode::BrokerTransportFailure, RDKafkaErrorCode::OperationTimedOut]
        {
            assert_eq!(WaitReason::of(None, &code.to_string()), WaitReason::Unreachable, "{code}");
        }
    }

    #[test]
    fn every_reason_has_a_code_of_its_own_and_a_next_step() {
        let mut codes: Vec<&str> = WaitReason::ALL.iter().map(|reason| reason.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), WaitReason::ALL.len());
        assert!(WaitReason::ALL.iter().all(|reason| reason.next_step().len() > 10));
    }
}
