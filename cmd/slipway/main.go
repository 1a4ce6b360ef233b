// Command slipway takes a commit to a serving agent on Amazon Bedrock
// AgentCore, and proves that it serves.
package main

func main() {}
