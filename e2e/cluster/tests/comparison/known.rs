//! The differences that are meant to be, with the reason of each.

use crate::difference::Known;

const WORDS: &str = "the words are those of Go's own libraries; code and reason are the same";
const OWNERSHIP: &str = "whether an empty parent is owned depends on `omitempty` in Go's types, which no schema tells";
const TOKENS: &str = "ServiceAccount admission and its kin: pods of the in-memory cluster have no account and no token";
const ZERO: &str = "Go's types without `omitempty` are sent when empty";
const LENIENT: &str = "a mistake that nothing of this project makes: the in-memory server does not look";
const STRICT: &str = "the in-memory server is stricter: a test that does this has a mistake";
const COMPILED: &str =
    "the in-memory server compiles rules when it evaluates them; that ours compile is asked of the real one";
const DOCUMENTS: &str = "texts for people, out of Kubernetes' documentation";
const UNASKED: &str = "a form that no client of this project asks for";

const LABELLED: &str = "a label that the server puts on is owned by whoever asked for the namespace";

const fn known(step: &'static str, field: &'static str, why: &'static str) -> Known {
    Known { step, field, why }
}

/// All of them: the first that fits counts, so that the general ones are last.
pub(crate) const KNOWN: &[Known] = &[
    // Paths and forms.
    known(
        "wrong requests: GET /apis/apps/v9/*",
        "*",
        "which of two ways to say 404 depends on who serves the group",
    ),
    known(
        "wrong requests: GET */none/status",
        ".body.*",
        "the in-memory server looks for the object first",
    ),
    known(
        "subresources: and has no such path",
        ".body.*",
        "the real server looks for the object first",
    ),
    known(
        "subresources: nor a scale",
        ".body.*",
        "the real server looks for the object first",
    ),
    known(
        "deletion: a kind that is gone",
        "*",
        "which of two ways to say 404 depends on who serves the group",
    ),
    known("watches: on the old path", "*", UNASKED),
    known("tables: *includeObject=*", "*.object*", UNASKED),
    known("tables: *includeObject=Some", "*", UNASKED),
    known(
        "discovery: /api",
        ".body.serverAddressByClientCIDRs",
        "it has no address of its own",
    ),
    known(
        "*",
        "*.storageVersionHash",
        "a hash of names in Go; kubectl and kube-rs do not read it",
    ),
    known(
        "discovery: /openapi/v3/*",
        "*.anyOf",
        "what `x-kubernetes-int-or-string` says already",
    ),
    known("discovery: /openapi/v3/*", "*.nullable", ZERO),
    known("discovery: /openapi/v3/*", ".x-kubernetes-selectable-fields", UNASKED),
    known("discovery: /openapi/v3/*", "*.description", DOCUMENTS),
    // Lists and watches.
    known("lists: limit=-1*", "*", STRICT),
    known(
        "lists: resourceVersionMatch=*",
        "*",
        "refused by both, as a bad request and as an invalid one",
    ),
    known(
        "watches: a list in a stream",
        ".events",
        "a last bookmark at the end, which a client may get at any time",
    ),
    known("watches: a version that is none", ".events[0].reason", WORDS),
    known("custom objects: *", ".body.metadata.continue", ZERO),
    // Patches.
    known(
        "patches: merge: a wrong type",
        "*",
        "refused by both, as a bad request and as an invalid one",
    ),
    known(
        "subresources: an unknown field of a status",
        "*",
        "refused by both, as a bad request and as an invalid one",
    ),
    known(
        "patches: JSON: an operation that is none",
        "*",
        "refused by both, as a bad request and as an invalid one",
    ),
    known(
        "patches: strategic: a container without a name",
        "*",
        "refused by both; the real server calls it its own error",
    ),
    known(
        "patches: JSON: *",
        ".body.details.causes",
        "the in-memory server says more",
    ),
    known("patches: apply: a port that is there twice", "*", LENIENT),
    known(
        "patches: apply: its ports, by number",
        ".body.spec.ports*",
        "a list map that is applied keeps its old order",
    ),
    known(
        "tables: table of /api/v1/namespaces/compared/services",
        ".body.rows[*].cells[*]",
        "what was patched above",
    ),
    known("*: *unknown field*", ".body.reason", WORDS),
    // Validation.
    known("wrong requests: a key that is none", "*", LENIENT),
    known("wrong requests: a finalizer without a domain", "*", LENIENT),
    known("wrong requests: a version at birth", "*", STRICT),
    known(
        "wrong requests: a generation of its own",
        ".body.metadata.generation",
        LENIENT,
    ),
    known(
        "wrong requests: a finalizer that is none",
        ".body.details.causes",
        "the real server says it twice",
    ),
    known("defaults: a Secret that is not coded", "*", LENIENT),
    known(
        "defaults: a Deployment without a selector",
        ".body.details.causes",
        "the real server says more",
    ),
    known(
        "defaults: an EndpointSlice of another family",
        ".body.details.causes[0].field",
        WORDS,
    ),
    known(
        "services: refused: an address that is taken",
        "*",
        "a trial that the real server carries out without the allocator",
    ),
    known(
        "services: refused: a node port out of range",
        "*",
        "a trial that the real server carries out without the allocator",
    ),
    known(
        "services: refused: two addresses of one family",
        ".body.details.causes",
        "the real server says more",
    ),
    known("services: refused: *", ".status", LENIENT),
    known("services: load-balancer is changed: its class", "*", LENIENT),
    known(
        "services: its status",
        ".body.spec.loadBalancerClass",
        "what was changed above",
    ),
    known("services: a status that is none", "*", LENIENT),
    known(
        "services: node-port is changed: to an external name",
        ".body.spec.internalTrafficPolicy",
        LENIENT,
    ),
    known(
        "custom objects: refused: another kind",
        "*",
        "refused by both, as a bad request and as an invalid one",
    ),
    known(
        "custom objects: refused: another version",
        ".warnings",
        "the real server decodes it first",
    ),
    known(
        "custom objects: refused: *",
        ".body.details.causes",
        "the real server goes on to its rules, which cannot read the value either",
    ),
    known(
        "custom objects: replaced without a version",
        ".body.details.kind",
        WORDS,
    ),
    known(
        "custom objects: unknown fields, Warn",
        ".warnings[*]",
        "in the order of the fields' names, or of their decoding",
    ),
    known(
        "wrong requests: unknown fields, Warn",
        ".warnings[*]",
        "in the order of the fields' names, or of their decoding",
    ),
    known(
        "custom resource definitions: refused: a version name that is none",
        "*",
        LENIENT,
    ),
    known("custom resource definitions: refused: a rule *", ".status", COMPILED),
    known(
        "custom resource definitions: refused: a default of a wrong type",
        "*",
        LENIENT,
    ),
    known(
        "custom resource definitions: refused: a lower-case kind",
        ".body.status*",
        "the in-memory server establishes in the same write",
    ),
    known(
        "custom resource definitions: refused: *",
        ".body.details.causes*",
        WORDS,
    ),
    known(
        "kpr's own kinds: a range that is none",
        ".body.details.causes[*",
        "what a rule says that cannot be evaluated",
    ),
    known("kpr's own kinds: kubeproxyreplacements.kpr.dev is taken", "*", ZERO),
    known(
        "subresources: its status is changed",
        ".body.metadata.generation",
        "of a kind without a status, whose fields all count",
    ),
    // Deletion.
    known(
        "deletion: Foreground: the owner is deleted",
        ".body*",
        "the in-memory collector is done before the answer",
    ),
    known(
        "deletion: Orphan: the owner is deleted",
        ".body*",
        "the in-memory collector is done before the answer",
    ),
    known(
        "deletion: nothing is made in a namespace that goes",
        ".body.details.causes",
        "the real server says more",
    ),
    known("deletion: a finalizer is added too late", ".body.details.causes", WORDS),
    // What is filled in.
    known(
        "defaults: a DaemonSet*",
        ".body.metadata.annotations",
        "of a version of the API that is no longer served",
    ),
    known("defaults: a Pod with a port", "*.fieldRef.apiVersion", LENIENT),
    known(
        "defaults: a Node",
        ".body.spec",
        "the taint of a new node: the in-memory cluster's are Ready at once",
    ),
    known("defaults: a*", ".body.status*", ZERO),
    known("defaults: an Event*", "*", ZERO),
    known("defaults: an EndpointSlice", ".body.endpoints[0].conditions", ZERO),
    known("subresources: a scale is *", ".body.status.selector", ZERO),
    known("*", "*lastProbeTime", ZERO),
    known("subresources: a pod's *", "*lastTransitionTime", ZERO),
    known("deletion: *", "*lastTransitionTime", ZERO),
    known("*", ".body.spec.containers[0].volumeMounts", TOKENS),
    known("*", ".body.spec.volumes", TOKENS),
    known("*", ".body.spec.serviceAccount*", TOKENS),
    known("*", ".body.spec.tolerations", TOKENS),
    known("*", ".body.spec.p*", TOKENS),
    known("*", ".body.spec.enableServiceLinks", TOKENS),
    // Everywhere.
    known(
        "objects: a namespace is created",
        ".body.metadata.managedFields",
        LABELLED,
    ),
    known("defaults: a Namespace", ".body.metadata.managedFields", LABELLED),
    known(
        "tables: table of /api/v1/namespaces/compared",
        "*.managedFields",
        LABELLED,
    ),
    known(
        "tables: table of /api/v1/namespaces/compared/services",
        "*managedFields*",
        "what was patched above",
    ),
    known("services: its status", "*managedFields*", "what was changed above"),
    known(
        "custom resource definitions: *",
        ".body.metadata.managedFields",
        "the in-memory server establishes in the same write",
    ),
    known(
        "kpr's own kinds: nodedatapaths.kpr.dev is taken",
        "*",
        "the in-memory server establishes in the same write",
    ),
    known(
        "subresources: *",
        "*managedFields*",
        "what `status` and `scale` leave out of what they are sent is owned in other ways",
    ),
    known(
        "deletion: Orphan: and what is left",
        "*managedFields*",
        "whether the collector's own write is told from others",
    ),
    known(
        "deletion: *",
        "*managedFields*.f:nodeName",
        "whether the binding is the binder's, or nobody's",
    ),
    known(
        "defaults: a DaemonSet*",
        "*managedFields*.f:metadata",
        "of a version of the API that is no longer served",
    ),
    known("*", "*managedFields*..", OWNERSHIP),
    known(
        "*",
        "*managedFields*.f:nothing",
        "a null that is sent is owned by its sender",
    ),
    known("*", "*managedFields*.f:enableServiceLinks", TOKENS),
    known("*", "*.columnDefinitions[*].description", DOCUMENTS),
    known("tables: *events*", "*.columnDefinitions[*].format", DOCUMENTS),
    known("*", "*.details", ZERO),
    known("*", "*.details.name", ZERO),
    known("*", "*.details.kind", WORDS),
    known("*", "*.details.causes[*].message", WORDS),
    known("*", "*.message", WORDS),
];
