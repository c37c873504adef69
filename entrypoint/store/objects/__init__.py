"""Object stores: tarballs pushed to S3, Azure and Google Cloud, and pulled from there."""
