"""What only notebooks use: exercises, checks, hints, quizzes, figures, and the proof that nothing is left."""
