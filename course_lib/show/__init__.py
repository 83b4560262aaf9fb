"""What the notebooks show; the figures' style is `plt.style.use("course_lib.show.course")`."""

# Okabe and Ito's colours, which colour-blind readers can tell apart too.
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#666666"
