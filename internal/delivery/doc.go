// Package delivery is the core of Slipway: what a delivery is, the order of
// its stages, and what stays true when one of them fails.
//
// It knows agents, environments, images by digest, runtime versions,
// endpoints and releases, and speaks to the world through ports of one to
// three methods (ports.go). It refuses to know AWS's SDK, the network, the
// file system, the environment or the clock of the machine: everything it
// needs is handed to it, so that each rule can be read and tested alone.
//
// The rules it keeps (docs/invariants.md): latest moves last; a revision tag
// is never pointed at another digest; an update loses no setting; the digest
// is the identity; what failed its verify does not stay; nothing to do means
// nothing done; every wait has a deadline.
package delivery
