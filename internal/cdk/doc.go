// Package cdk reads what a CDK app of the repository keeps and makes: the
// lookups of cdk.context.json, its sources, and the cloud assembly that a synth
// writes. It says which lookups are missing for an account and region, and
// whether the app takes an agent's image from where a delivery records it.
//
// It reads the file system that it is given. It refuses to run anything:
// package synth below does.
package cdk
