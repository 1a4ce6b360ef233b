"""A customer service agent for Amazon Bedrock AgentCore."""
