"""Review queues: traces that people are to review, with the questions that they answer."""
