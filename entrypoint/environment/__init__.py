"""The environment: its values and names, cleaned of what pasting and env files leave."""
