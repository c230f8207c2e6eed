"""The cutover drill's domain: schedules, their expected ticks, who owns them, its observations, its checks."""
