// Package registry reads and writes the images of one ECR repository over the
// OCI distribution protocol, with go-containerregistry. A *Repository is a
// delivery.Repository and a delivery.Publisher.
//
// What it keeps true: only blobs that are missing are sent; a manifest is
// written after all that it names, and its tag is looked at first, so that a
// push of what is there writes nothing; bytes that are read are hashed, a
// digest that only a header claims is not believed. Each step is tried again
// where trying again can help, with full jitter and a limit.
//
// What it refuses: plain http beyond this machine's loopback, and sending the
// login to any host but the registry's own, redirects included. It keeps no
// credential on disk, writes none into an error, and logs nothing. It neither
// builds images nor chooses a platform, and deletes nothing.
package registry
