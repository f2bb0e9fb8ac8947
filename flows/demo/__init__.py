"""`treadle demo`: the main job on real flights, by the commands that a person would run."""
