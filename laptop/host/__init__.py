"""The Functions host, on Microsoft's own worker library, with func start's URLs and answers."""
