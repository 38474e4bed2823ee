"""What the project's promises of speed are measured with; nothing here is part of the installed packages."""
