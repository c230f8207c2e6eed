"""What a Spark stress drill judges: answers, laps, the event log, checks. Pure over files."""
