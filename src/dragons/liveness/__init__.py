"""Whether an agent is alive: heartbeats, organism states, time between interventions."""
