//! The messages that are decoded: field numbers from the `generated.proto` of each API group.

/// A message type.
pub(super) struct Message {
    pub(super) name: &'static str,
    pub(super) fields: &'static [Field],
}

/// One field of a message.
pub(super) struct Field {
    pub(super) number: u64,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) repeated: bool,
    /// A pointer in Go: its zero value means something.
    pub(super) optional: bool,
}

pub(super) enum Kind {
    Text,
    Number,
    Flag,
    Time,
    IntOrText,
    TextMap,
    BytesMap,
    Message(&'static Message),
    /// What a client's word on does not count: status.
    Ignored,
}

const fn one(number: u64, name: &'static str, kind: Kind) -> Field {
    Field {
        number,
        name,
        kind,
        repeated: false,
        optional: false,
    }
}

const fn maybe(number: u64, name: &'static str, kind: Kind) -> Field {
    Field {
        number,
        name,
        kind,
        repeated: false,
        optional: true,
    }
}

const fn many(number: u64, name: &'static str, kind: Kind) -> Field {
    Field {
        number,
        name,
        kind,
        repeated: true,
        optional: false,
    }
}

/// The message of a kind.
pub(super) fn of(api_version: &str, kind: &str) -> Option<&'static Message> {
    match (api_version, kind) {
        ("v1", "Namespace") => Some(&NAMESPACE),
        ("v1", "ConfigMap") => Some(&CONFIG_MAP),
        ("v1", "Secret") => Some(&SECRET),
        ("v1", "ServiceAccount") => Some(&SERVICE_ACCOUNT),
        ("v1", "Service") => Some(&SERVICE),
        ("apps/v1", "Deployment") => Some(&DEPLOYMENT),
        _ => None,
    }
}

static OWNER: Message = Message {
    name: "OwnerReference",
    fields: &[
        one(1, "kind", Kind::Text),
        one(3, "name", Kind::Text),
        one(4, "uid", Kind::Text),
        one(5, "apiVersion", Kind::Text),
        maybe(6, "controller", Kind::Flag),
        maybe(7, "blockOwnerDeletion", Kind::Flag),
    ],
};

static META: Message = Message {
    name: "ObjectMeta",
    fields: &[
        one(1, "name", Kind::Text),
        one(2, "generateName", Kind::Text),
        one(3, "namespace", Kind::Text),
        one(5, "uid", Kind::Text),
        one(6, "resourceVersion", Kind::Text),
        one(7, "generation", Kind::Number),
        one(8, "creationTimestamp", Kind::Time),
        one(11, "labels", Kind::TextMap),
        one(12, "annotations", Kind::TextMap),
        many(13, "ownerReferences", Kind::Message(&OWNER)),
        many(14, "finalizers", Kind::Text),
        one(17, "managedFields", Kind::Ignored),
    ],
};

static NAMESPACE: Message = Message {
    name: "Namespace",
    fields: &[
        one(1, "metadata", Kind::Message(&META)),
        one(3, "status", Kind::Ignored),
    ],
};

static CONFIG_MAP: Message = Message {
    name: "ConfigMap",
    fields: &[
        one(1, "metadata", Kind::Message(&META)),
        one(2, "data", Kind::TextMap),
        one(3, "binaryData", Kind::BytesMap),
        maybe(4, "immutable", Kind::Flag),
    ],
};

static SECRET: Message = Message {
    name: "Secret",
    fields: &[
        one(1, "metadata", Kind::Message(&META)),
        one(2, "data", Kind::BytesMap),
        one(3, "type", Kind::Text),
        one(4, "stringData", Kind::TextMap),
        maybe(5, "immutable", Kind::Flag),
    ],
};

static REFERENCE: Message = Message {
    name: "LocalObjectReference",
    fields: &[one(1, "name", Kind::Text)],
};

static SERVICE_ACCOUNT: Message = Message {
    name: "ServiceAccount",
    fields: &[
        one(1, "metadata", Kind::Message(&META)),
        many(3, "imagePullSecrets", Kind::Message(&REFERENCE)),
        maybe(4, "automountServiceAccountToken", Kind::Flag),
    ],
};

static SERVICE_PORT: Message = Message {
    name: "ServicePort",
    fields: &[
        one(1, "name", Kind::Text),
        one(2, "protocol", Kind::Text),
        one(3, "port", Kind::Number),
        one(4, "targetPort", Kind::IntOrText),
        one(5, "nodePort", Kind::Number),
        maybe(6, "appProtocol", Kind::Text),
    ],
};

static SERVICE_SPEC: Message = Message {
    name: "ServiceSpec",
    fields: &[
        many(1, "ports", Kind::Message(&SERVICE_PORT)),
        one(2, "selector", Kind::TextMap),
        one(3, "clusterIP", Kind::Text),
        one(4, "type", Kind::Text),
        many(5, "externalIPs", Kind::Text),
        one(7, "sessionAffinity", Kind::Text),
        one(10, "externalName", Kind::Text),
        one(11, "externalTrafficPolicy", Kind::Text),
        one(12, "healthCheckNodePort", Kind::Number),
        one(13, "publishNotReadyAddresses", Kind::Flag),
        maybe(17, "ipFamilyPolicy", Kind::Text),
        many(18, "clusterIPs", Kind::Text),
        many(19, "ipFamilies", Kind::Text),
        maybe(22, "internalTrafficPolicy", Kind::Text),
    ],
};

static SERVICE: Message = Message {
    name: "Service",
    fields: &[
        one(1, "metadata", Kind::Message(&META)),
        one(2, "spec", Kind::Message(&SERVICE_SPEC)),
        one(3, "status", Kind::Ignored),
    ],
};

static LABEL_SELECTOR: Message = Message {
    name: "LabelSelector",
    fields: &[one(1, "matchLabels", Kind::TextMap)],
};

static ENV: Message = Message {
    name: "EnvVar",
    fields: &[one(1, "name", Kind::Text), one(2, "value", Kind::Text)],
};

static CONTAINER_PORT: Message = Message {
    name: "ContainerPort",
    fields: &[
        one(1, "name", Kind::Text),
        one(2, "hostPort", Kind::Number),
        one(3, "containerPort", Kind::Number),
        one(4, "protocol", Kind::Text),
        one(5, "hostIP", Kind::Text),
    ],
};

static CONTAINER: Message = Message {
    name: "Container",
    fields: &[
        one(1, "name", Kind::Text),
        one(2, "image", Kind::Text),
        many(3, "command", Kind::Text),
        many(4, "args", Kind::Text),
        one(5, "workingDir", Kind::Text),
        many(6, "ports", Kind::Message(&CONTAINER_PORT)),
        many(7, "env", Kind::Message(&ENV)),
    ],
};

static POD_SPEC: Message = Message {
    name: "PodSpec",
    fields: &[
        many(2, "containers", Kind::Message(&CONTAINER)),
        one(3, "restartPolicy", Kind::Text),
    ],
};

static TEMPLATE: Message = Message {
    name: "PodTemplateSpec",
    fields: &[
        one(1, "metadata", Kind::Message(&META)),
        one(2, "spec", Kind::Message(&POD_SPEC)),
    ],
};

static STRATEGY: Message = Message {
    name: "DeploymentStrategy",
    fields: &[one(1, "type", Kind::Text)],
};

static DEPLOYMENT_SPEC: Message = Message {
    name: "DeploymentSpec",
    fields: &[
        maybe(1, "replicas", Kind::Number),
        maybe(2, "selector", Kind::Message(&LABEL_SELECTOR)),
        one(3, "template", Kind::Message(&TEMPLATE)),
        one(4, "strategy", Kind::Message(&STRATEGY)),
        one(5, "minReadySeconds", Kind::Number),
    ],
};

static DEPLOYMENT: Message = Message {
    name: "Deployment",
    fields: &[
        one(1, "metadata", Kind::Message(&META)),
        one(2, "spec", Kind::Message(&DEPLOYMENT_SPEC)),
        one(3, "status", Kind::Ignored),
    ],
};
