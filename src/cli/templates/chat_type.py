"""A step of the type NAME. flow keeps one process of this file alive and calls the function in it."""

from flow_step import step


@step
def FUNCTION(item: "json") -> "json":
    """Adds the mean of the values to the message."""
    values = item["content"]["values"]
    return {**item, "mean": sum(values) / len(values)}
